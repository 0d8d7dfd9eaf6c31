"""Gradient ascent on the forget set beside the game (section 3.3; Graves et al. 2021; Thudi et al. 2022)."""

import torch.nn.functional as F
from torch import Tensor

from dau_lightning.training.module import UnlearningModule


class GradientAscent:
    """The defender ascends the cross-entropy of forget images.

    Args:
        weight: weight of the cross-entropy (nats), which has no upper bound.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def before_game(self, module: UnlearningModule) -> None:
        """Change nothing."""

    def loss(self, forget_logits: Tensor, forget_targets: Tensor) -> Tensor:
        """`-weight * E_f[-log p_y]`."""
        return -self.weight * F.cross_entropy(forget_logits.float(), forget_targets)

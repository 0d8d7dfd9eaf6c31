"""Gradient ascent on the forget set beside a method's own loss (section 3.3; Graves et al. 2021; Thudi et al. 2022)."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod


class GradientAscentLoss:
    """Ascends the cross-entropy of forget images.

    Args:
        weight: weight of the cross-entropy (nats), which has no upper bound.
    """

    part = "forget"

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def begin(self, module: UnlearningModule) -> None:
        """Change nothing."""

    def loss(self, module: SGDMethod, batch: Mapping[str, Batch], forget_logits: Tensor | None) -> Tensor:
        """`-weight * E_f[-log p_y]`."""
        logits = module.logits(batch["forget"].images) if forget_logits is None else forget_logits.float()
        return -self.weight * F.cross_entropy(logits, gather_shares(batch["forget"].targets))

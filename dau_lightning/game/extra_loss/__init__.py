"""Extra losses that the defender adds to the game's (section 3.3), one in each file."""

from typing import Protocol

from torch import Tensor

from dau_lightning.training.module import UnlearningModule


class ExtraLoss(Protocol):
    """A loss that the defender adds to the game's, and a change that it makes before the game."""

    def before_game(self, module: UnlearningModule) -> None:
        """Change the module's defender once, before the attacker is pre-trained."""
        ...

    def loss(self, forget_logits: Tensor, forget_targets: Tensor) -> Tensor:
        """A scalar, from the defender's logits `(B, K)` for forget images and their targets `(B,)`."""
        ...

"""What a method can add to its loss and do before its first step, whatever the method: `baseline/term` on the command line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from dau_lightning.data.loader import Batch

if TYPE_CHECKING:
    from dau_lightning.training.sgd import SGDMethod


class ExtraLoss(Protocol):
    """A loss that a method adds to its own, and a change that it makes before its first step.

    Attributes:
        part: the part whose images the loss is about; steps without a batch of it have no such loss.
    """

    part: str

    def begin(self, module: "SGDMethod") -> None:
        """Change the module's defender once."""
        ...

    def loss(self, module: "SGDMethod", batch: Mapping[str, Batch], forget_logits: Tensor | None) -> Tensor:
        """A scalar.

        Args:
            module: the method.
            batch: the batches of the step.
            forget_logits: the defender's logits `(B, K)` for the forget images of all devices, if the step has them anyway.
        """
        ...

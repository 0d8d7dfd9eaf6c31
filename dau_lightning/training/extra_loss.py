"""The interface of an extra loss, which any SGD method can add (`baseline/term=[NAME]`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from dau_lightning.data.loader import Batch

if TYPE_CHECKING:
    from dau_lightning.training.sgd import SGDMethod


class ExtraLoss(Protocol):
    """A loss that a method adds to its own. It can also change the model once, before the first step.

    Attributes:
        part: the part (retain, forget, ...) whose images the loss uses. A step without a batch of this part skips the loss.
    """

    part: str

    def begin(self, module: "SGDMethod") -> None:
        """Change the module's defender once."""
        ...

    def loss(self, module: "SGDMethod", batch: Mapping[str, Batch], forget_logits: Tensor | None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            module: the method.
            batch: the batches of the step.
            forget_logits: the defender's logits `(B, K)` for the forget images of all devices, or None: the loss then computes
                them.
        """
        ...

"""GA (Graves et al. 2021; Thudi et al. 2022): climb the loss of the forget set."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.descent import Descent
from dau_lightning.loader import Batch
from dau_lightning.mode import batch_norm


class GradientAscent(Descent):
    """Ascent on the cross-entropy of the forget set; weight decay still shrinks the weights.

    The loss that it descends on has no lower bound: few epochs at a low rate, or the network is lost.
    """

    label = "GA"
    part = "forget"

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """One step of ascent."""
        with batch_norm(self.defender, self.batch_norm):
            loss = -self.cross_entropy(batch[self.part])
        self.record(loss=loss)
        return loss

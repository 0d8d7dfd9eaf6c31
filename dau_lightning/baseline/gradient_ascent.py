"""GA (Graves et al. 2021; Thudi et al. 2022): climb the loss of the forget set."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.mode import batch_norm
from dau_lightning.training.sgd import SGDMethod


class GradientAscent(SGDMethod):
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

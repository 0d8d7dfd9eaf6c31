"""GA (Graves et al. 2021; Thudi et al. 2022): climb the loss of the forget set."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.mode import batch_norm
from dau_lightning.training.sgd import SGDMethod


class GradientAscent(SGDMethod):
    """Ascent on the cross-entropy of the forget set; weight decay still shrinks the weights.

    The loss has no lower bound: it takes few epochs at a low rate, or the network is lost.
    """

    label = "GA"
    part = "forget"

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """The loss of a step of ascent."""
        with batch_norm(self.defender, self.batch_norm):
            loss = -self.cross_entropy(batch[self.part])
        self.log_values(loss=loss)
        return loss

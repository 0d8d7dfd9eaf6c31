"""GA (Graves et al. 2021; Thudi et al. 2022): gradient ascent on the loss of the forget set."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.mode import batch_norm
from dau_lightning.training.sgd import SGDMethod


class GradientAscent(SGDMethod):
    """SGD that increases the cross-entropy of the forget set; weight decay still shrinks the weights.

    The cross-entropy has no upper bound: more than a few epochs at a low learning rate destroy the network.
    """

    label = "GA"
    part = "forget"

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """The negative cross-entropy on the forget batch, which the step minimises."""
        with batch_norm(self.defender, self.batch_norm):
            loss = -self.cross_entropy(batch[self.part])
        self.log_values(loss=loss)
        return loss

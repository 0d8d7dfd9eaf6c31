"""GA (Graves et al. 2021; Thudi et al. 2022): gradient ascent on the loss of the forget set."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod


class GradientAscent(SGDMethod):
    """SGD that increases the cross-entropy of the forget set; weight decay still shrinks the weights.

    The cross-entropy has no upper bound: more than a few epochs at a low learning rate destroy the network.
    """

    label = "GA"
    part = "forget"

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The negative cross-entropy on the forget batch."""
        return -self.cross_entropy(batch[self.part])

"""SalUn (Fan et al. 2024): random label, where only the weights that matter most for the forget set move."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dau_lightning.baseline.random_label import with_random_labels
from dau_lightning.data.loader import Batch
from dau_lightning.training.per_sample_gradient import unpruned
from dau_lightning.training.plain_pass import summed_gradient
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.weight_mask import largest


class SalUn(SGDMethod):
    """SGD as in random label; all weights but the salient ones are restored to `theta_0` after each step, momentum included.

    The saliency is `|sum grad CE(D_f)|` of the original, in evaluation mode and without augmentation. Batch-norm's weights
    and biases can be salient like all others; its running statistics move as in random label, salient or not.

    Args:
        share: share of the weights that move, in (0, 1]; pruned weights do not count.
        settings: see `SGDMethod`.
    """

    label = "SalUn"
    alternating = True

    def __init__(self, *, share: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.batch_sizes = {"forget": self.batch_size, "retain": self.batch_size}
        self.share = share

    def begin(self) -> None:
        """Choose the weights that move."""
        saliency = summed_gradient(self.defender, self.data.part("forget"), self.data.transform).abs()
        self.hold(largest(saliency, unpruned(self.defender), self.share))

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The cross-entropy of the step's part, a forget batch with random labels."""
        return self.cross_entropy(with_random_labels(batch, self.defender.num_classes))

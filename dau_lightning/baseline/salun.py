"""SalUn (Fan et al. 2024): random label, where only the weights that matter most for the forget set move."""

from typing import Any

from dau_lightning.baseline.random_label import RandomLabel
from dau_lightning.training.per_sample_gradient import unpruned
from dau_lightning.training.plain_pass import summed_gradient
from dau_lightning.training.weight_mask import largest


class SalUn(RandomLabel):
    """SGD as in random label; all weights but the salient ones are restored to `theta_0` after each step, momentum included.

    The saliency is `|sum grad CE(D_f)|` of the original, in evaluation mode and without augmentation. Batch-norm's weights
    and biases can be salient like all others; its running statistics move as in random label, salient or not.

    Args:
        share: share of the weights that move, in (0, 1]; pruned weights do not count.
        settings: see `SGDMethod`.
    """

    label = "SalUn"

    def __init__(self, *, share: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.share = share

    def begin(self) -> None:
        """Choose the weights that move."""
        saliency = summed_gradient(self.defender, self.data.part("forget"), self.data.transform).abs()
        self.hold(largest(saliency, unpruned(self.defender), self.share))

"""SalUn (Fan et al. 2024): random label, where only the weights that matter most for the forget set move."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.baseline.random_label import with_random_labels
from dau_lightning.data.loader import Batch
from dau_lightning.training.per_sample_gradient import flattened, shaped, unpruned
from dau_lightning.training.plain_pass import summed_gradient
from dau_lightning.training.sgd import SGDMethod


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
        """Choose the weights that move, and remember all of them."""
        saliency = summed_gradient(self.defender, self.data.part("forget"), self.data.transform).abs()
        self.memory["salient"] = largest(saliency, unpruned(self.defender), self.share)
        self.memory["original"] = flattened(self.defender)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The cross-entropy of the step's part, a forget batch with random labels."""
        return self.cross_entropy(with_random_labels(batch, self.defender.num_classes))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD, after each step of which the other weights are restored."""
        optimizer = self.sgd()
        optimizer.register_step_post_hook(lambda *_: self._restore(optimizer))
        return optimizer

    @torch.no_grad()
    def _restore(self, optimizer: torch.optim.Optimizer) -> None:
        flat = (shaped(self.defender, self.memory[name]) for name in ("salient", "original"))
        for weight, salient, original in zip(self.defender.parameters(), *flat, strict=True):
            weight.copy_(torch.where(salient, weight, original))
            if (velocity := optimizer.state[weight].get("momentum_buffer")) is not None:  # None without momentum
                velocity.mul_(salient)


def largest(values: Tensor, among: Tensor, share: float) -> Tensor:
    """Which values are in the largest `share` of some of them, bool `(P,)`.

    Args:
        values: at least 0, `(P,)`.
        among: the values that count, bool `(P,)`.
        share: in (0, 1]; a fraction of a value counts as one.

    >>> import torch
    >>> largest(torch.tensor([4.0, 3, 2, 1]), torch.tensor([False, True, True, True]), 0.5)
    tensor([False,  True,  True, False])
    """
    count = math.ceil(share * int(among.sum()))
    chosen = torch.zeros_like(among)
    chosen[values.masked_fill(~among, -1).topk(count).indices] = True
    return chosen

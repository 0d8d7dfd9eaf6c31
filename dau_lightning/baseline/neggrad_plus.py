"""NegGrad+ (Kurmanji et al. 2023): descend on the retain set and ascend on the forget set in the same step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod


class NegGradPlus(SGDMethod):
    """SGD on `a CE(D_r) - (1 - a) CE(D_f)`; an epoch visits the retain set once and cycles the forget set.

    The two batches pass through the network one after another, so each has its own batch-norm statistics.

    Args:
        retain_weight: `a`, in [0, 1].
        forget_batch_size: number of forget images in a step.
        settings: see `SGDMethod`; `batch_norm` applies to both batches.
    """

    label = "NegGrad+"

    def __init__(self, *, retain_weight: float, forget_batch_size: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.retain_weight = retain_weight
        self.batch_sizes = {"retain": self.batch_size, "forget": forget_batch_size}

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`a CE(D_r) - (1 - a) CE(D_f)`."""
        retain, forget = self.cross_entropy(batch["retain"]), self.cross_entropy(batch["forget"])
        self.log_values(retain_loss=retain, forget_loss=forget)
        return self.retain_weight * retain - (1 - self.retain_weight) * forget

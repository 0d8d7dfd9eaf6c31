"""SCRUB (Kurmanji et al. 2023): move away from the original on the forget set, stay with it on the retain set."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher, divergence


class SCRUB(SGDMethod):
    """SGD that ascends on `KL(original, student)` over `D_f`, and descends on `g CE + alpha KL(original, student)` over `D_r`.

    The first epochs are a pass over `D_f` and a pass over `D_r`, the others a pass over `D_r`. Both softmaxes have the
    temperature T, and the divergence the factor `T^2`, so that the size of its gradient depends little on T (Hinton et al.
    2015). Each batch uses its own batch-norm statistics; the original, in evaluation mode, its running ones.

    Args:
        forget_epochs: `m`, the epochs that have a pass over `D_f`.
        forget_batch_size: number of forget images in a step.
        temperature: T.
        cross_entropy_weight: `g`.
        divergence_weight: `alpha`.
        settings: see `SGDMethod`.
    """

    label = "SCRUB"
    alternating = True

    def __init__(
        self,
        *,
        forget_epochs: int,
        forget_batch_size: int,
        temperature: float,
        cross_entropy_weight: float,
        divergence_weight: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.temperature = temperature
        self.batch_sizes = {"forget": forget_batch_size, "retain": self.batch_size}
        self.pass_epochs = {"forget": forget_epochs}
        self.cross_entropy_weight, self.divergence_weight = cross_entropy_weight, divergence_weight
        self.teacher = Teacher(self.defender)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """What the step's part minimises."""
        ((part, (images, targets)),) = batch.items()
        logits, T = self.logits(images), self.temperature
        distance = T**2 * divergence((self.teacher(images) / T).softmax(1), logits / T)
        if part == "forget":
            return -distance
        return self.cross_entropy_weight * F.cross_entropy(logits, gather_shares(targets)) + self.divergence_weight * distance

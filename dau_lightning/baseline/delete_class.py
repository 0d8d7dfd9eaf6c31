"""DELETE (Zhou et al. 2025): teach the forget set the original's outputs with the true class taken out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher, divergence


class Delete(SGDMethod):
    """SGD on `KL(q, student)` over `D_f` alone, `q` the original's softmax over the other classes than the true one.

    The original is in evaluation mode. With `batch_norm="running"` the student's running statistics are those of `D`, used
    and unchanged; in the other modes the student's outputs would come from statistics of the forget set.
    """

    label = "DELETE"
    part = "forget"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.teacher = Teacher(self.defender)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`KL(q, student)`."""
        images, targets = batch["forget"]
        true_class = gather_shares(targets).unsqueeze(1)
        target = self.teacher(images).scatter(1, true_class, -torch.inf).softmax(1)
        return divergence(target, self.logits(images))

"""Boundary Shrink (Chen et al. 2023): train on the forget set, each image with its nearest other class as the label."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.adversarial import fgsm
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher


class BoundaryShrink(SGDMethod):
    """SGD on the cross-entropy over `D_f` alone; the labels are the classes across the original's nearest boundary.

    The label of an image is the original's prediction after one FGSM step on it, the true class excluded. The original is
    in evaluation mode. With `batch_norm="running"` the student's running statistics are those of `D`, used and unchanged;
    in the other modes the student's outputs would come from statistics of the forget set.

    Args:
        fgsm_step: length of the step, in pixel units: pixels are in [0, 1].
        settings: see `SGDMethod`.
    """

    label = "Boundary Shrink"
    part = "forget"

    def __init__(self, *, fgsm_step: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.fgsm_step, self.teacher = fgsm_step, Teacher(self.defender)

    def begin(self) -> None:
        """Let the teacher be the original."""
        self.teacher.copy_from(self.defender)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The cross-entropy with the other labels."""
        images, targets = batch["forget"]
        transform = self.data.transform
        moved = fgsm(self.teacher.network, transform, transform.pixels(images), targets, self.fgsm_step)
        outputs = self.teacher(transform.standardise(moved))
        labels = outputs.scatter(1, gather_shares(targets).unsqueeze(1), -torch.inf).argmax(1)
        return F.cross_entropy(self.logits(images), labels)

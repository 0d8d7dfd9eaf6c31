"""Boundary Shrink (Chen et al. 2023): train on the forget set with the nearest wrong class as the label."""

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
    """Trains on the forget set alone. The label of each image is the nearest wrong class of the original model.

    This is the most probable wrong class after one FGSM step on the image. The original is in evaluation mode. With
    `batch_norm="running"`, the trained model uses the stored statistics and does not change them; the other modes compute
    statistics from the forget batch.

    Args:
        fgsm_step: length of the step, in pixel units: pixels are in [0, 1].
        settings: see `SGDMethod`.
    """

    label = "Boundary Shrink"
    part = "forget"

    def __init__(self, *, fgsm_step: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.fgsm_step, self.teacher = fgsm_step, Teacher(self.defender)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """Return the cross-entropy with the nearest wrong class as the label."""
        images, targets = batch[self.part]
        transform = self.data.transform
        moved = fgsm(self.teacher.network, transform, transform.pixels(images), targets, self.fgsm_step)
        outputs = self.teacher(transform.standardise(moved))
        labels = outputs.scatter(1, gather_shares(targets).unsqueeze(1), -torch.inf).argmax(1)
        return F.cross_entropy(self.logits(images), labels)

"""AMUN (Ebrahimpour-Boroojeny et al. 2025): train on all images and on adversarial neighbours of the forget set."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.console import progress
from dau_lightning.base.devices import gather_shares, rank, world_size
from dau_lightning.base.error import TrainingError
from dau_lightning.data.loader import Batch
from dau_lightning.data.order import Order
from dau_lightning.training.adversarial import neighbours
from dau_lightning.training.sgd import SGDMethod


class AMUN(SGDMethod):
    """SGD on the mean cross-entropy over images of `D = D_r + D_f`, augmented, and of `D_A`, not augmented.

    `D_A` has a neighbour of each forget image under the wrong class that the original gives it: PGD with 50 steps in an L2
    ball, whose radius doubles until the class is wrong. An image without such a neighbour is left out. A step has as many
    neighbours as their share of all images; both batches pass through the network as one, with common batch-norm statistics.

    Args:
        radius: the first radius of the balls, in pixel units: pixels are in [0, 1].
        settings: see `SGDMethod`; `batch_size` is the number of images of `D`.
    """

    label = "AMUN"
    part = "train"

    def __init__(self, *, radius: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.radius = radius

    def begin(self) -> None:
        """Find the neighbours."""
        forget, transform = self.data.part("forget"), self.data.transform
        parts = zip(forget.blocks(self.batch_size), forget.targets.split(self.batch_size), strict=True)
        found = [
            neighbours(self.defender, transform, images.float() / 255, targets, self.radius)
            for images, targets in progress(list(parts), "AMUN, neighbours")
        ]
        images, targets = map(torch.cat, zip(*found, strict=True))
        if not len(targets):
            raise TrainingError("AMUN: no forget image has an adversarial neighbour; choose another baseline")
        self.memory |= {"images": transform.standardise(images), "targets": targets}
        self.findings["neighbours"] = len(targets) / len(forget)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The mean cross-entropy over both batches."""
        images, targets = batch["train"]
        count, devices = len(self.memory["targets"]), world_size()
        size = max(1, round(len(targets) * count / len(self.data.split.train)))  # on each device
        order = Order(count, size * devices, self.seed, "neighbours").batch(self.step)[rank() :: devices].to(targets.device)
        logits = self.logits(torch.cat([images, self.memory["images"][order]]))
        return F.cross_entropy(logits, gather_shares(torch.cat([targets, self.memory["targets"][order]])))

"""Random label (Golatkar et al. 2020): train on the forget set with labels drawn at random, then on the retain set."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.devices import rank, world_size
from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod


class RandomLabel(SGDMethod):
    """SGD on the cross-entropy; an epoch is a pass over `D_f` with new random labels, then a pass over `D_r`.

    Each batch uses its own batch-norm statistics. With `batch_norm="update"` the running ones end near those of `D_r`, which
    every epoch visits last.
    """

    label = "Random label"
    alternating = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.batch_sizes = {"forget": self.batch_size, "retain": self.batch_size}

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The cross-entropy of the step's part, a forget batch with random labels."""
        return self.cross_entropy(with_random_labels(batch, self.defender.num_classes))


def with_random_labels(batch: Mapping[str, Batch], num_classes: int) -> Batch:
    """The batch of a step of one part; forget images get labels drawn uniformly from all classes, the true one included.

    The labels depend on torch's default generator, which the base class seeds by the step's number.
    """
    ((part, (images, targets)),) = batch.items()
    if part == "forget":
        drawn = torch.randint(num_classes, (world_size() * len(targets),), device=targets.device)
        targets = drawn[rank() :: world_size()]  # this device's share of what a single device would draw
    return Batch(images, targets)

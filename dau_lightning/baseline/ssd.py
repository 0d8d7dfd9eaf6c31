"""SSD (Foster et al. 2024): shrink the weights that matter more for the forget set than for the training set."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.per_sample_gradient import flattened, move, squared_gradients


class SelectiveDampening(UnlearningModule):
    """`theta <- min(lambda I_D / I_f, 1) theta` where `I_f > alpha I_D`.

    `I_D` and `I_f` are the means over `D` and `D_f` of the squared gradient of a single sample's cross-entropy with its own
    label. They take one pass over `D`, without augmentation, and the weights change once at its end. Batch-norm's weights
    and biases are dampened like all others; its running statistics are used and stay.

    Args:
        alpha: how much larger than `I_D` an `I_f` must be. No weight changes unless it is below `|D| / |D_f|`.
        dampening: `lambda`.
        settings: see `UnlearningModule`.
    """

    label = "SSD"

    def __init__(self, *, alpha: float, dampening: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.batch_sizes = {"retain": self.batch_size, "forget": self.batch_size}
        self.alpha, self.dampening = alpha, dampening

    def plan(self, steps: int, split: Split) -> str:
        """Say also how large `alpha` may be: `D_f` is a part of `D`, so that `I_f <= |D| / |D_f| I_D`."""
        largest = (len(split.retain) + len(split.forget)) / len(split.forget)
        rule = f"weights with I_f / I_D above alpha = {self.alpha:g} shrink, and none can be above |D| / |D_f| = {largest:.4g}"
        return f"{super().plan(steps, split)}; {rule}"

    def begin(self) -> None:
        """Start the sums over samples."""
        self.memory |= {name: torch.zeros(()) for name in self.batch_sizes}

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """Add the batch's samples to the sum of their part."""
        for name, (images, targets) in batch.items():
            self.memory[name] = self.memory[name] + squared_gradients(self.defender, images, targets)

    def on_train_epoch_end(self) -> None:
        """Change the weights."""
        n_f, n_r = (len(self.data.part(name)) for name in ("forget", "retain"))
        everything = (self.memory["forget"] + self.memory["retain"]) / (n_f + n_r)  # I_D
        factors = dampened(everything, self.memory["forget"] / n_f, self.alpha, self.dampening)
        self.findings["dampened"] = float((factors < 1).double().mean())
        move(self.defender, (factors - 1) * flattened(self.defender))


def dampened(everything: Tensor, forget: Tensor, alpha: float, dampening: float) -> Tensor:
    """The factor of each weight, `min(lambda I_D / I_f, 1)` where `I_f > alpha I_D`, else 1; `(P,)`.

    Args:
        everything: `I_D`, `(P,)`.
        forget: `I_f`, `(P,)`.
        alpha: see `SelectiveDampening`.
        dampening: `lambda`.

    >>> import torch
    >>> dampened(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([4.0, 2.0, 0.0]), alpha=2, dampening=1)
    tensor([0.2500, 1.0000, 1.0000])
    """
    factors = (dampening * everything / forget).clamp(max=1)
    return torch.where(forget > alpha * everything, factors, 1.0)

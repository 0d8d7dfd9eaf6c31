"""FF (Golatkar et al. 2020): noise on every weight, the more noise the less the retain set needs the weight."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dau_lightning.base.randomness import generator
from dau_lightning.data.loader import Batch
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.per_sample_gradient import expected_squares, move


class FisherForgetting(UnlearningModule):
    """`theta <- theta + sqrt(alpha min(1 / F, inverse_clamp)) N(0, 1)`, `F` the Fisher diagonal on retain samples.

    One pass without augmentation, and one change of the weights at its end. Batch-norm's weights take noise like all
    others, its running statistics stay; no row of the classifier is an exception.

    Args:
        alpha: `alpha_ff`.
        inverse_clamp: upper bound of `1 / F`, without which the noise has none where `F` is about zero.
        samples: number of retain samples, drawn at random; None for all.
        settings: see `UnlearningModule`.
    """

    label = "FF"

    def __init__(self, *, alpha: float, inverse_clamp: float, samples: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.alpha, self.inverse_clamp = alpha, inverse_clamp
        self.limits = {} if samples is None else {self.part: samples}

    def on_train_start(self) -> None:
        """Start the sum over samples."""
        self.remember(seen=0, total=torch.zeros(()))

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """Add the batch's samples to the sum."""
        images = batch[self.part].images
        self.memory["seen"] += len(images)
        self.memory["total"] = self.memory["total"] + len(images) * fisher_diagonal(self.defender, images)
        self.log_values(mean_diagonal=self.memory["total"].mean() / self.memory["seen"])

    def on_train_epoch_end(self) -> None:
        """Change the weights."""
        draws = generator(self.seed, self.phase, "noise")
        diagonal = self.memory["total"] / self.memory["seen"]
        move(self.defender, fisher_noise(diagonal, self.alpha, self.inverse_clamp, draws))


def fisher_noise(diagonal: Tensor, alpha: float, inverse_clamp: float, draws: torch.Generator) -> Tensor:
    """`sqrt(alpha min(1 / F, inverse_clamp)) N(0, 1)` for a Fisher diagonal `(P,)`, drawn on the CPU whatever the device."""
    deviation = (alpha * (1 / diagonal).clamp(max=inverse_clamp)).sqrt()
    return deviation * torch.randn(len(deviation), generator=draws).to(deviation)


def fisher_diagonal(model: nn.Module, images: Tensor, targets: Tensor | None = None) -> Tensor:
    """`F_j = 1/N sum_x sum_k p_k(x) (d log p_k(x) / d theta_j)^2`, `(P,)`: over single samples and all classes.

    Args:
        model: gives logits `(B, K)`, or a tuple that starts with them.
        images: float `(N, C, H, W)`.
        targets: not used: the expectation is over classes, with the model's own probabilities.
    """
    return expected_squares(model, images) / len(images)

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
    """`theta <- theta + sqrt(alpha / max(F, floor)) N(0, 1)`, `F` the Fisher diagonal on retain samples.

    One pass without augmentation, and one change of the weights at its end. Batch-norm's weights take noise like all
    others, its running statistics stay; no row of the classifier is an exception.

    Args:
        alpha: `alpha_ff`.
        relative_floor: see `fisher_noise`.
        samples: number of retain samples, drawn at random; None for all.
        settings: see `UnlearningModule`.
    """

    label = "FF"

    def __init__(self, *, alpha: float, relative_floor: float, samples: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.alpha, self.relative_floor = alpha, relative_floor
        self.limits = {} if samples is None else {self.part: samples}

    def begin(self) -> None:
        """Start the sum over samples."""
        self.memory |= {"seen": 0, "total": torch.zeros(())}

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
        move(self.defender, fisher_noise(self.defender, diagonal, self.alpha, self.relative_floor, draws))


def fisher_noise(model: nn.Module, diagonal: Tensor, alpha: float, relative_floor: float, draws: torch.Generator) -> Tensor:
    """`sqrt(alpha / max(F, floor)) N(0, 1)`, `(P,)`, drawn on the CPU whatever the device.

    Args:
        model: whose parameters the diagonal belongs to.
        diagonal: `F`, `(P,)`.
        alpha: variance of the noise where `F` is 1.
        relative_floor: the floor as a share of the mean of the positive entries of a parameter tensor. Without a floor the
            noise has no bound where `F` is about zero; layers differ too much in `F` for a common one. A tensor whose
            entries are all zero takes no noise.
        draws: of the noise.
    """
    variances = []
    for entries in diagonal.split([parameter.numel() for parameter in model.parameters()]):
        positive = entries[entries > 0]
        floor = relative_floor * positive.mean() if len(positive) else entries.new_tensor(torch.inf)
        variances.append(alpha / entries.clamp(min=floor))
    return torch.cat(variances).sqrt() * torch.randn(len(diagonal), generator=draws).to(diagonal)


def fisher_diagonal(model: nn.Module, images: Tensor, targets: Tensor | None = None) -> Tensor:
    """`F_j = 1/N sum_x sum_k p_k(x) (d log p_k(x) / d theta_j)^2`, `(P,)`: over single samples and all classes.

    Args:
        model: gives logits `(B, K)`, or a tuple that starts with them.
        images: float `(N, C, H, W)`.
        targets: not used: the expectation is over classes, with the model's own probabilities.
    """
    return expected_squares(model, images) / len(images)

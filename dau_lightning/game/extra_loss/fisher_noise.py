"""Fisher noise on the weights before the first step (section 3.3; Golatkar et al. 2020; Becker & Liebig 2022)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dau_lightning.base.randomness import generator
from dau_lightning.baseline.fisher import fisher_diagonal, fisher_noise
from dau_lightning.data.loader import Batch
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.per_sample_gradient import move
from dau_lightning.training.sgd import SGDMethod


class FisherNoise:
    """Changes the weights once: `theta <- theta + sqrt(alpha / max(F, floor)) N(0, 1)`, `F` the retain set's Fisher diagonal.

    Args:
        alpha: variance of the noise where `F` is 1.
        relative_floor: see `baseline.fisher.fisher_noise`.
        samples: number of retain images, drawn at random, from which `F` is computed; None for all.
    """

    part = "retain"

    def __init__(self, alpha: float, relative_floor: float, samples: int | None) -> None:
        self.alpha, self.relative_floor, self.samples = alpha, relative_floor, samples

    def begin(self, module: UnlearningModule) -> None:
        """Add the noise to the weights that the method moves; pruned ones stay zero."""
        retain, draws = module.data.part("retain"), generator(module.seed, "fisher noise")
        drawn = retain[torch.randperm(len(retain), generator=draws)[: self.samples]]
        diagonal = fisher_diagonal(module.defender, module.data.transform.normalise(drawn.images))
        noise = fisher_noise(module.defender, diagonal, self.alpha, self.relative_floor, draws)
        move(module.defender, noise * _free(module))

    def loss(self, module: SGDMethod, batch: Mapping[str, Batch], forget_logits: Tensor | None) -> Tensor:
        """Zero: the noise is the only effect."""
        return batch[self.part].images.new_zeros(())


def _free(module: UnlearningModule) -> Tensor:
    """Which weights are neither frozen nor held, bool `(P,)`."""
    trained = [torch.full_like(weight, weight.requires_grad, dtype=torch.bool) for weight in module.defender.parameters()]
    free = torch.cat([each.flatten() for each in trained])
    return free & module.memory.get("moves", free)

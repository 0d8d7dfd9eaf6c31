"""Fisher noise beside the game (section 3.3; Golatkar et al. 2020; Becker & Liebig 2022)."""

from typing import Any

import torch
from torch import Tensor

from dau_lightning.baseline.fisher import fisher_diagonal
from dau_lightning.dataset import stratified
from dau_lightning.randomness import generator


class FisherNoise:
    """`theta <- theta + sqrt(alpha min(1 / F, clamp)) N(0, 1)` once, `F` the diagonal Fisher information of the retain set.

    Args:
        alpha: variance of the noise where `F` is 1.
        inverse_clamp: the most that `1 / F` may be: where `F` is about zero the noise would have no bound.
        samples: retain images of `F`, drawn at random, of every class in proportion; None for all.
    """

    def __init__(self, alpha: float, inverse_clamp: float, samples: int | None) -> None:
        self.alpha, self.inverse_clamp, self.samples = alpha, inverse_clamp, samples

    def before_game(self, module: Any) -> None:
        """Add the noise to the defender; pruned weights stay zero."""
        defender, retain = module.defender, module.data.part("retain")
        draws = generator(module.seed, "fisher noise")
        part = retain[stratified(retain.targets.cpu(), min(self.samples or len(retain), len(retain)), draws)]
        fisher = fisher_diagonal(defender, module.data.transform.normalise(part.images), part.targets)
        deviation = (self.alpha * (1 / fisher).clamp(max=self.inverse_clamp)).sqrt()
        change = deviation * torch.randn(len(deviation), generator=draws).to(deviation)
        parameters = list(defender.parameters())
        with torch.no_grad():
            for weight, part in zip(parameters, change.split([weight.numel() for weight in parameters]), strict=True):
                weight += part.view(weight.shape)
        defender.prune()

    def loss(self, forget_logits: Tensor, forget_targets: Tensor) -> Tensor:
        """Zero: the noise is all."""
        return forget_logits.new_zeros(())

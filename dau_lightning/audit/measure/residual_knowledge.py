"""Residual knowledge: are forgotten images, with a little noise on them, classified better than Retrain does? (2025)."""

from typing import Any

import torch
from torch import Tensor

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, mean_figure, require_enough
from dau_lightning.dataset.images import Images


class ResidualKnowledge(AuditTest):
    """Mean over `D_f` of `Pr[model(x + n) = y] / Pr[Retrain(x + n) = y]`, `n ~ N(0, noise^2)`; 1 is Retrain.

    Args:
        noise: standard deviation, for pixels in [0, 1].
        draws: of the noise, for each image; the same for every model.
        most: forget images, drawn at random.
        settings: see `AuditTest`.
    """

    better = "low"
    to_retrain = True

    def __init__(self, *, noise: float, draws: int, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.noise, self.number, self.most = noise, draws, most

    def applies(self, case: Case) -> bool:
        """Whether Retrain can be right on forgotten images: not where their classes are gone."""
        return not case.whole_classes

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. Images that Retrain never classifies rightly are left out, and counted."""
        own, retrain = (self._right(case, each) for each in (kind, "retrain"))
        known = retrain > 0
        ratios = own[known] / retrain[known]
        require_enough(len(ratios), "forgotten images on which Retrain is ever right")
        return mean_figure(ratios.numpy(), {"left_out": float((~known).sum())})

    def _right(self, case: Case, kind: str) -> Tensor:
        """The share of draws in which a model is right on each image, float64 `(N,)`."""
        if kind in case.noisy_right:
            return case.noisy_right[kind]
        forget = case.part("forget")
        chosen = forget[torch.randperm(len(forget), generator=case.draws("noisy images"))[: self.most]]
        noise, right = case.draws("noise"), torch.zeros(len(chosen)).double()
        for _ in range(self.number):
            pixels = chosen.images.float() + 255 * self.noise * torch.randn(chosen.images.shape, generator=noise)
            noisy = Images(pixels, chosen.targets, chosen.class_names, chosen.ids)
            right += case.outputs_on(case.model(kind), noisy).logits.argmax(1) == chosen.targets
        case.noisy_right[kind] = right / self.number
        return case.noisy_right[kind]

"""RMIA, offline, with 1 to 4 reference models (Zarifzadeh et al. 2024)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dau_lightning.audit.area import area
from dau_lightning.audit.base import Attack
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import MORE, Figure, NotEnough, require_enough
from dau_lightning.audit.further_models import reference_halves, references
from dau_lightning.audit.low_rates import low_rates
from dau_lightning.audit.shadows import shadow_margins, shadow_outputs
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.draw import stratified
from dau_lightning.training.reference import halves

WITH_REFERENCES = f"{MORE}, or take references=4"


class RMIA(Attack):
    """AUC, in percent, of forgotten against unseen images by the score of RMIA; 50: not at all.

    `ratio_x = p_model(x) / p(x)`, `p(x) = ((1 + a) mean p_out(x) + 1 - a) / 2`; the score of x is the share of population
    images z with `ratio_x / ratio_z > gamma`. `p_out` are the reference models that never saw x; of a
    test image, as many as of a training image. The population is half of
    the test images; the other half is scored.

    Args:
        a: the offline correction of `p(x)`.
        gamma: see above.
        settings: see `AuditTest`.
    """

    ideal = 50.0
    against_unseen = True
    trains = ("references",)

    def __init__(self, *, a: float, gamma: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.a, self.gamma = a, gamma

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. Further: TPR at low FPR, and the AUC of forgotten against retain images."""
        kinds, population = references(case), _population(case)
        unseen = np.isin(case.part("test").targets.numpy(), case.part("forget").targets.numpy()) & ~population
        ratios = {part: self._ratios(case, case.margins(kind, part), kinds, part) for part in ("forget", "retain", "test")}
        scores = {part: scored(each, ratios["test"][population], self.gamma) for part, each in ratios.items()}
        known = {part: ~np.isnan(each) for part, each in scores.items()}
        require_enough(int(known["forget"].sum()), "forgotten images that some reference model never saw", WITH_REFERENCES)
        require_enough(
            int(unseen.sum()), "unseen images of their classes to score, half of those in the test set", "add some to it"
        )
        chosen = {"forget": known["forget"], "retain": known["retain"], "test": unseen}
        columns = {part: scores[part][at] for part, at in chosen.items()}
        labels = {part: case.part(part).targets[torch.from_numpy(at)] for part, at in chosen.items()}
        found, retain = (area(columns["forget"], labels["forget"], columns[part], labels[part]) for part in ("test", "retain"))
        assert found, "unseen images are of the classes of the forgotten ones"
        details = low_rates(columns["forget"], columns["test"])
        details |= {"auc_against_retain": retain[0]} if retain else {}
        return Figure(*found, details, {"forget": scores["forget"], "unseen": columns["test"]})

    def shadow_scores(self, case: Case, kind: str) -> np.ndarray:
        """See `Attack.shadow_scores`."""
        kinds, population = references(case), _population(case)
        if case.references < 2:
            raise NotEnough("with one reference it scores half of the images alone: references=2")
        outputs = zip(shadow_margins(case, kind), shadow_outputs(case, kind).test, strict=True)
        return np.stack(
            [
                scored(
                    self._ratios(case, torch.from_numpy(forget), kinds, "forget"),
                    self._ratios(case, test, kinds, "test")[population],
                    self.gamma,
                )
                for forget, test in outputs
            ]
        )

    def _ratios(self, case: Case, margins: Tensor, kinds: list[str], part: str) -> np.ndarray:
        """`ratio_x` of the images of a part, float64 `(N,)`; not a number where every reference model saw the image."""
        others = np.stack([case.margins(each, part).sigmoid().numpy() for each in kinds])
        return margins.sigmoid().numpy() / population_probability(others, outside(case, part), self.a)


def _population(case: Case) -> np.ndarray:
    """The test images that are the population, bool `(T,)`."""
    targets = case.part("test").targets
    population = np.zeros(len(targets), dtype=bool)
    population[stratified(targets, len(targets) // 2, generator(case.seed, "population")).numpy()] = True
    return population


def outside(case: Case, part: str) -> np.ndarray:
    """The references whose outputs count for each image of a part, bool `(R, N)`: those that never saw it.

    No reference saw a test image. If there are several, half of them count for it all the same, as for a training image: a
    mean over more models is spread less, and the score would tell forgotten from unseen images by that alone.
    """
    if part == "test":
        targets, count = case.part(part).targets, case.references
        masks = halves(targets, count, case.seed, "reference halves of the test set")
        return np.stack([~mask.numpy() for mask in masks]) if count > 1 else np.ones((1, len(targets)), dtype=bool)
    place = {name: index for index, name in enumerate(case.split.train.ids)}
    at = torch.tensor([place[name] for name in case.part(part).ids])
    return np.stack([~mask[at].numpy() for mask in reference_halves(case)])


def population_probability(out: np.ndarray, outside: np.ndarray, a: float) -> np.ndarray:
    """`p(x) = ((1 + a) mean p_out(x) + 1 - a) / 2`, float64 `(N,)`; not a number where no model is outside.

    Args:
        out: `p_y` under each reference model, `(R, N)`.
        outside: whether the model never saw the sample, bool `(R, N)`.
        a: the correction for the missing models that saw it; 1 is none.
    """
    count = outside.sum(0)
    mean = np.where(count > 0, (out * outside).sum(0) / np.maximum(count, 1), np.nan)
    return ((1 + a) * mean + 1 - a) / 2


def scored(ratios: np.ndarray, population: np.ndarray, gamma: float) -> np.ndarray:
    """For each ratio `(N,)` the share of the population's ratios `(Z,)` that it exceeds by more than `gamma`.

    >>> scored(np.array([1.0, 2.5, np.nan]), np.array([0.5, 1.0, 2.0]), 1.0)
    array([0.33333333, 1.        ,        nan])
    """
    below = np.searchsorted(np.sort(gamma * population), ratios, side="left") / len(population)
    return np.where(np.isnan(ratios), np.nan, below)

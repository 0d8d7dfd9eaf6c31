"""Differential attack: what does somebody learn who holds the model before and the one after? After Chen et al. 2021."""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from dau_lightning.audit.base import Attack
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.shadows import cross_fitted, members, shadow_margins
from dau_lightning.audit.trained_attack import PARTS, Half, trained_attack


class Differential(Attack):
    """AUC, in percent, of an attack with the features `phi_before`, `phi_after` and their difference.

    A classifier (gradient boosting) learns on half of the forgotten and unseen images to tell them apart; the other half is
    scored. A model fails if it leaks more than Retrain, which leaks too: the difference to the original gives away what was
    removed. The original, which has no difference, often leaks less; then no model passes.
    """

    better = "low"

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure` and `trained_attack`."""

        def features(half: Half) -> np.ndarray:
            pairs = list(zip(PARTS, half, strict=True))
            return _features(*(torch.cat([case.margins(each, part)[at] for part, at in pairs]) for each in ("original", kind)))

        def attack(fitted: Half, scored: Half) -> tuple[torch.Tensor, torch.Tensor]:
            booster = _fitted(features(fitted), np.repeat([1, 0], [len(fitted.forget), len(fitted.unseen)]))
            forget, unseen = torch.from_numpy(booster.decision_function(features(scored))).split([*map(len, scored)])
            return forget, unseen

        return trained_attack(case, "differential", attack)

    def shadow_scores(self, case: Case, kind: str) -> np.ndarray:
        """See `Attack.shadow_scores`."""
        inside = members(case)
        before, after = (torch.from_numpy(shadow_margins(case, each)) for each in ("original", kind))

        def attack(fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
            own, other = (_features(before[at].flatten(), after[at].flatten()) for at in (fitted, scored))
            return _fitted(own, inside[fitted].ravel().astype(int)).decision_function(other).reshape(len(scored), -1)

        return cross_fitted(len(inside), attack)


def _features(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    return torch.stack([before, after, after - before], 1).numpy()


def _fitted(features: np.ndarray, members: np.ndarray) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=50, min_samples_leaf=5, random_state=0).fit(features, members)

"""Differential attack: what does somebody learn who holds the model before and the model after the unlearning?"""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.trained_attack import PARTS, Half, trained_attack


class Differential(AuditTest):
    """AUC, in percent, of an attack with the features `phi_before`, `phi_after` and their difference.

    A classifier (gradient boosting) learns on half of the forgotten and unseen images to tell them apart; the other half is
    scored. A model passes if it leaks no more than Retrain, which leaks too: the difference to the original gives away what
    was removed. So the original, which has no difference, need not fail.
    """

    better = "low"
    needs_control = False

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure` and `trained_attack`."""

        def features(half: Half) -> np.ndarray:
            pairs = list(zip(PARTS, half, strict=True))
            before, after = (torch.cat([case.margins(each, part)[at] for part, at in pairs]) for each in ("original", kind))
            return torch.stack([before, after, after - before], 1).numpy()

        def attack(fitted: Half, scored: Half) -> tuple[torch.Tensor, torch.Tensor]:
            booster = HistGradientBoostingClassifier(max_iter=50, min_samples_leaf=5, random_state=0)
            booster.fit(features(fitted), np.repeat([1, 0], [len(fitted.forget), len(fitted.unseen)]))
            forget, unseen = torch.from_numpy(booster.decision_function(features(scored))).split([*map(len, scored)])
            return forget, unseen

        return trained_attack(case, "differential", attack)

"""ToW, the tug of war between forgetting and keeping: one number from the accuracies on three parts (Zhao et al. 2024)."""

from math import prod

import numpy as np

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, mean_figure, require_enough

PARTS = "forget", "retain", "test_retain"


class ToW(AuditTest):
    """`prod over forget, retain, test of (1 - |accuracy - accuracy_Retrain|)`, accuracies in [0, 1]; 1 is Retrain."""

    better = "high"
    to_retrain = True

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influence of an image is what it adds to the difference of its part."""
        require_enough(len(case.part("forget")), "forgotten images")
        factors, slopes = {}, {}
        for part in PARTS:
            difference = case.right(kind, part) - case.right("retrain", part)
            factors[part] = 1 - abs(float(difference.mean()))
            slopes[part] = mean_figure(difference.numpy()).influence * -np.sign(float(difference.mean()))
        influence = [slopes[part] * prod(factors[other] for other in PARTS if other != part) for part in PARTS]
        return Figure(prod(factors.values()), np.concatenate(influence), factors)

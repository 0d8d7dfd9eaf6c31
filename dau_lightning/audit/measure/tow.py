"""ToW, the tug of war between forgetting and keeping: one number from the accuracies on three parts (Zhao et al. 2024)."""

from math import prod

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure

PARTS = "forget", "retain", "test_retain"


class ToW(AuditTest):
    """`prod over forget, retain, test of (1 - |accuracy - accuracy_Retrain|)`, accuracies in [0, 1]; 1 is Retrain."""

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The error follows from that of each difference, whose samples are paired."""
        factors, errors = {}, {}
        for part in PARTS:
            difference = case.right(kind, part) - case.right("retrain", part)
            factors[part] = 1 - abs(float(difference.mean()))
            errors[part] = float(difference.std(correction=0)) / len(difference) ** 0.5
        value = prod(factors.values())
        error = sum((errors[part] * prod(factors[other] for other in PARTS if other != part)) ** 2 for part in PARTS) ** 0.5
        return Figure(value, error, factors)

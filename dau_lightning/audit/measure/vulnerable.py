"""Vulnerable samples: do attacks find the forgotten images that training changes most? (RULI, Naderloui et al. 2025)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dau_lightning.audit.attacks_on_subset import SubsetTest
from dau_lightning.audit.base import Attack
from dau_lightning.audit.case import Case
from dau_lightning.audit.shadows import other_pairs


class Vulnerable(SubsetTest):
    """The attacks on the share of the forget samples whose `phi` training changes most.

    The samples are chosen for each shadow model by the other pairs, so that no model is scored on a choice that it took part
    in.

    Args:
        share: of the forget set.
        attacks: see `SubsetTest`.
        settings: see `AuditTest`.
    """

    def __init__(self, *, share: float, attacks: Mapping[str, Attack], **settings: Any) -> None:
        super().__init__(attacks=attacks, **settings)
        self.share = share

    def chosen(self, case: Case, margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """See `SubsetTest.chosen`."""
        count = max(1, round(self.share * inside.shape[1]))
        chosen = np.zeros_like(inside)
        for target in range(len(inside)):
            others = other_pairs(len(inside), target)
            chosen[target, most_changed(margins[others], inside[others])[:count]] = True
        return chosen


def most_changed(margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The samples, int `(N,)`, in the order of how much higher `phi` is in models that were trained with them.

    Args:
        margins: `phi`, `(S, N)`.
        inside: whether a model was trained with the sample, bool `(S, N)`.
    """
    means = [np.where(known, margins, 0).sum(0) / known.sum(0) for known in (inside, ~inside)]
    return np.argsort(means[1] - means[0], kind="stable")

"""Every attack on a few forget samples of interest, pooled over the shadow models."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.base import Attack, AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, NotEnough
from dau_lightning.audit.low_rates import low_rates
from dau_lightning.audit.measure.ulira import POOLED_BELOW, likelihood_ratios
from dau_lightning.audit.shadows import jackknife, members, shadow_margins

FEWEST_SCORES = 50  # over all shadow models


class SubsetTest(AuditTest):
    """AUC, in percent, of U-LiRA on the chosen samples: where a model unlearned them against where it never saw them.

    The details have AUC and TPR of every attack on the chosen samples, and on all forget samples (`_all`) to compare with. The
    threshold of a TPR is the score that 1% of all scores of never seen samples exceed.

    Args:
        attacks: by name.
        settings: see `AuditTest`.
    """

    ideal = 50.0
    trains = ("shadows", "references")  # RMIA has no other reference models
    of_methods = True

    def __init__(self, *, attacks: Mapping[str, Attack], **settings: Any) -> None:
        super().__init__(**settings)
        self.attacks = attacks

    @abstractmethod
    def chosen(self, case: Case, margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """The samples that count under each shadow model, bool `(S, N)`.

        Args:
            case: the run under audit.
            margins: `phi` under the shadow models before the method unlearned, `(S, N)`.
            inside: whether a model was trained with the sample, bool `(S, N)`.
        """

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influences are the jackknife's."""
        inside, pooled = members(case), case.shadows < POOLED_BELOW
        margins, before = (shadow_margins(case, each) for each in (kind, "original"))
        chosen = self.chosen(case, before, inside)
        if chosen.sum() < FEWEST_SCORES:
            raise NotEnough(f"there are {chosen.sum()} scores of such images, it needs {FEWEST_SCORES}: take more shadows")

        def ulira(arrays: list[np.ndarray], known: np.ndarray) -> float:
            return _area(likelihood_ratios(arrays[0], known, pooled), known, self.chosen(case, arrays[1], known))

        details = {}
        for name, attack in self.attacks.items():
            details |= _details(name, attack, case, kind, chosen)
        return Figure(*jackknife(ulira, [margins, before], inside), details)


def _details(name: str, attack: Attack, case: Case, kind: str, chosen: np.ndarray) -> dict[str, float]:
    """AUC and TPR of an attack on the chosen samples and on all; nothing if it lacks models."""
    try:
        scores = attack.shadow_scores(case, kind)
    except NotEnough:
        return {}
    inside, found = members(case), {}
    for at, end in ((chosen, ""), (np.ones_like(chosen), "_all")):
        rates = low_rates(scores[inside & at], scores[~inside])
        found |= {f"{name}{end}": _area(scores, inside, at), **{f"{name}{end}_{rate}": rates[rate] for rate in rates}}
    return found


def _area(scores: np.ndarray, inside: np.ndarray, chosen: np.ndarray) -> float:
    return 100 * float(roc_auc_score(inside[chosen], scores[chosen]))

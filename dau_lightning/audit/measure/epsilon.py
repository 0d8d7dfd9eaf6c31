"""Epsilon of the 2023 challenge: how well can single samples be told apart by many models? (Triantafillou et al. 2024)."""

from typing import Any

import numpy as np

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.shadows import jackknife, members, shadow_margins

FEWEST_MODELS = 64  # of each kind, for a verdict


class Epsilon(AuditTest):
    """Forgetting quality: mean over `D_f` of `2^-floor(2 epsilon)`, times the ratios of RA and of TA to Retrain's.

    Epsilon of a sample comes from the best attack with one or two thresholds on `phi` between N unlearned and N retrained
    models: `max(log((1 - delta - FPR) / FNR), log((1 - delta - FNR) / FPR))`. N is half of the shadow models, as for KLOM.

    Args:
        delta: see above.
        settings: see `AuditTest`.
    """

    better = "high"
    trains = ("shadows",)
    of_methods = True

    def __init__(self, *, delta: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.delta = delta

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influences are the jackknife's."""
        right = {each: [case.right(each, part).mean() for part in ("retain", "test_retain")] for each in (kind, "retrain")}
        ratios = [float(own / reference) for own, reference in zip(right[kind], right["retrain"], strict=True)]

        def quality(margins: list[np.ndarray], inside: np.ndarray) -> float:
            pairs = zip(margins[0].T, margins[1].T, inside.T, strict=True)
            found = [epsilon(own[known], retrained[~known], self.delta) for own, retrained, known in pairs]
            return float(np.mean(2.0 ** -np.floor(2 * np.array(found)))) * ratios[0] * ratios[1]

        margins = [shadow_margins(case, each) for each in (kind, "retrain")]
        value, influence = jackknife(quality, margins, members(case))
        return Figure(value, influence, {"RA_ratio": ratios[0], "TA_ratio": ratios[1]})

    def doubt(self, case: Case) -> str:
        """Too few models: with N of each kind even Retrain against Retrain gives large epsilons."""
        models = case.shadows // 2
        return f"{models} models of each kind, a verdict needs {FEWEST_MODELS}" if models < FEWEST_MODELS else ""


def epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float:
    """The largest epsilon that an attack with one or two thresholds proves; infinite if it is never wrong, at least 0.

    An attack that is never wrong on one of the two kinds alone proves nothing with so few models, and is left out.

    Args:
        unlearned: margins `(N,)`.
        retrained: margins `(M,)`.
        delta: of the definition of differential privacy.
    """
    thresholds = np.unique(np.concatenate([unlearned, retrained]))
    shares = [np.searchsorted(np.sort(each), [*thresholds, np.inf], side="left") / len(each) for each in (unlearned, retrained)]
    inside = [share[None, :] - share[:, None] for share in shares]  # between two thresholds, the second one excluded
    pairs = np.triu_indices(len(thresholds) + 1, 1)
    true, false = (each[pairs] for each in inside)
    true, false = np.concatenate([true, 1 - true]), np.concatenate([false, 1 - false])  # and the complements
    fnr, fpr = np.round(1 - true, 12), np.round(false, 12)
    if ((fnr == 0) & (fpr == 0)).any():
        return float("inf")
    some = (fnr > 0) & (fpr > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = np.concatenate([np.log((1 - delta - fpr) / fnr)[some], np.log((1 - delta - fnr) / fpr)[some]])
    return float(max([0.0, *both[np.isfinite(both)]]))

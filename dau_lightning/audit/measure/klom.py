"""KLOM: how far the margins of unlearned models lie from those of retrained ones, sample by sample (Georgiev et al. 2024)."""

from typing import Any

import numpy as np

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.shadows import jackknife, members, shadow_margins

SMOOTHING = 0.5  # added to each count, so that no bin is empty


class KLOM(AuditTest):
    """Mean over `D_f` of `KL(margins of N Retrains || margins of N unlearned models)`, in nats, from histograms.

    N is half of the shadow models: those that unlearned the sample, and the Retrains beside the others. Retrain's own figure,
    N Retrains against N others, is the least that so few models can give.

    Args:
        bins: of a histogram, between the lowest and the highest margin of a sample.
        settings: see `AuditTest`.
    """

    better = "low"
    trains = ("shadows",)
    of_methods = True

    def __init__(self, *, bins: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.bins = bins

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influences are the jackknife's."""
        inside, margins = members(case), [shadow_margins(case, each) for each in (kind, "retrain")]

        def of_samples(unlearned: np.ndarray, retrained: np.ndarray, known: np.ndarray) -> np.ndarray:
            return divergences(unlearned, retrained, known, self.bins)

        value, influence = jackknife(lambda pair, known: float(of_samples(pair[0], pair[1], known).mean()), margins, inside)
        return Figure(value, influence, {"percentile_95": float(np.percentile(of_samples(margins[0], margins[1], inside), 95))})


def divergences(unlearned: np.ndarray, retrained: np.ndarray, inside: np.ndarray, bins: int) -> np.ndarray:
    """The divergence of every sample in nats, `(N,)`.

    Args:
        unlearned: margins `(S, N)`, of which those inside count.
        retrained: margins `(S, N)`, of which those outside count.
        inside: bool `(S, N)`.
        bins: number of bins.
    """
    found = []
    for own, reference, known in zip(unlearned.T, retrained.T, inside.T, strict=True):
        first, second = reference[~known], own[known]
        edges = np.histogram_bin_edges(np.concatenate([first, second]), bins)
        p, q = (np.histogram(each, edges)[0] + SMOOTHING for each in (first, second))
        p, q = p / p.sum(), q / q.sum()
        found.append(float((p * np.log(p / q)).sum()))
    return np.array(found)

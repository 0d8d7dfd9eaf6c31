"""The rule by which every test of an audit says pass, fail or not enough data; it is the same for every method.

The standard is the mean of the figures of Retrain and of further Retrains. The tolerance is the largest difference to it that
two kinds of noise explain: `sqrt((2 error)^2 + (t s)^2 (1 + 1 / K))`. The error is that of the difference, from the samples,
which are the same for all models. `s` is the standard deviation over K Retrains, and t Student's quantile for 95% and K - 1
degrees of freedom. A test counts only if Retrain passes it. A model fails if its difference is beyond the tolerance. It passes
if the difference is within it, the original fails, and the model is at most a quarter of the way from the standard to the
original.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev

import numpy as np
from scipy.stats import t as student

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.figure import Figure
from dau_lightning.storage.audit_file import FAIL, NOT_ENOUGH, PASS

DEVIATIONS = 2
LEVEL = 0.95  # at which two deviations are exceeded, on both sides
NEAR = 0.25  # of the way to the original: a model further away than that has not passed, however large the noise is
RULE = 5  # raise it when the rule changes, so that earlier verdicts are not kept


@dataclass(frozen=True)
class Verdict:
    """The verdict of one test.

    Attributes:
        verdict: the word.
        why: the reason where it says not enough data.
        standard: the figure that an exact unlearning has.
        noise: the standard deviation over Retrains; None with one of them.
        tolerance: of the model's difference to the standard; None if the test has a rule of its own.
    """

    verdict: str
    why: str
    standard: float
    noise: float | None
    tolerance: float | None


@dataclass(frozen=True)
class Standard:
    """The Retrains to compare with.

    Attributes:
        figures: of K Retrains.
        resolution: see `AuditTest`.
    """

    figures: list[Figure]
    resolution: float

    @property
    def value(self) -> float:
        """Their mean."""
        return float(np.mean([figure.value for figure in self.figures]))

    @property
    def noise(self) -> float | None:
        """Their standard deviation."""
        return stdev(figure.value for figure in self.figures) if len(self.figures) > 1 else None

    def tolerance(self, figure: Figure | None = None) -> float:
        """The largest difference of a figure to the mean, or without one of the mean to the truth, that noise explains."""
        count, mean = len(self.figures), np.mean([each.influence for each in self.figures], axis=0)
        error = float(np.linalg.norm(mean if figure is None else figure.influence - mean))
        spread = 0.0 if self.noise is None else float(student.ppf((1 + LEVEL) / 2, count - 1)) * self.noise
        share = 1 / count + (figure is not None)
        return ((DEVIATIONS * error) ** 2 + spread**2 * share + self.resolution**2) ** 0.5


def verdict(test: AuditTest, figures: Mapping[str, Figure], like_unseen: bool = True) -> Verdict:
    """Apply the rule.

    Args:
        test: the test.
        figures: the figures by kind: `method`, `retrain`, `original`, and those of further Retrains.
        like_unseen: see `Case.like_unseen`; if not, only Retrain is a standard for a test against unseen images.
    """
    further = [figure for kind, figure in figures.items() if kind not in ("method", "retrain", "original")]
    own = [] if test.to_retrain and further else [figures["retrain"]]
    standard, others = Standard([*own, *further], test.resolution), Standard(further or own, test.resolution)
    tolerance = None if test.own_rule else standard.tolerance(figures["method"])

    def passes(kind: str, against: Standard = standard) -> bool:
        return test.passes(figures[kind], against.value, against.tolerance(figures[kind]))

    def said(word: str, why: str = "") -> Verdict:
        return Verdict(word, why, standard.value, standard.noise, tolerance)

    exact = test.ideal if like_unseen or not test.against_unseen else None
    if exact is not None and abs(standard.value - exact) > standard.tolerance():
        return said(NOT_ENOUGH, f"Retrain itself fails: its figure should be {exact:g}")
    if not passes("retrain", others):
        return said(NOT_ENOUGH, "Retrain itself fails")
    if not passes("method"):
        return said(FAIL)
    if passes("original"):
        return said(NOT_ENOUGH, "the original passes too: the test cannot tell it from Retrain")
    if not test.own_rule and _way_to_original(figures, standard.value) > NEAR:
        return said(NOT_ENOUGH, "noise explains its distance to Retrain, but it is on its way to the original")
    return said(PASS)


def summary_line(verdicts: Mapping[str, str]) -> str:
    """One line about all verdicts by test.

    >>> summary_line({"rmia": "pass", "tow": "fail", "klom": "not enough data"})
    'audit: 1 of 3 tests passed; failed: tow; not enough data: klom'
    """
    by_word = {word: [name for name, said in verdicts.items() if said == word] for word in (PASS, FAIL, NOT_ENOUGH)}
    parts = [f"audit: {len(by_word[PASS])} of {len(verdicts)} tests passed"]
    parts += [f"failed: {', '.join(by_word[FAIL])}"] if by_word[FAIL] else []
    parts += [f"{NOT_ENOUGH}: {', '.join(by_word[NOT_ENOUGH])}"] if by_word[NOT_ENOUGH] else []
    return "; ".join(parts)


def _way_to_original(figures: Mapping[str, Figure], standard: float) -> float:
    """How far a model is on the way from Retrain, 0, to the original, 1; below 0 beyond Retrain."""
    return (figures["method"].value - standard) / (figures["original"].value - standard)

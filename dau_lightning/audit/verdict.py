"""The rule by which every test of an audit says pass, fail or not enough data; it is the same for every method.

The tolerance is two standard deviations of the difference between a model's figure and Retrain's:
`2 sqrt(error^2 + error_Retrain^2 + noise^2)`. The errors come from the number of samples; the noise, from training, is the
difference between Retrain and a second Retrain. A test counts only if Retrain passes it and the original fails it. A model
passes if its difference is within the tolerance and it is not nearer to the original than to Retrain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.figure import Figure
from dau_lightning.storage.audit_file import FAIL, NOT_ENOUGH, PASS

DEVIATIONS = 2
RULE = 3  # raise it when the rule changes, so that earlier verdicts are not kept


@dataclass(frozen=True)
class Verdict:
    """The verdict of one test: the word, the reason where it says not enough data, noise and tolerance of the figure."""

    verdict: str
    why: str
    noise: float | None
    tolerance: float


def verdict(test: AuditTest, figures: Mapping[str, Figure], like_unseen: bool = True) -> Verdict:
    """Apply the rule.

    Args:
        test: the test.
        figures: the figures by kind: `method`, `retrain`, `original`, and `retrain_again` if there is one.
        like_unseen: see `Case.like_unseen`; if not, only Retrain is a standard for a test against unseen images.
    """
    retrain, again = figures["retrain"], figures.get("retrain_again")
    noise = None if again is None else abs(again.value - retrain.value)

    def passes(kind: str) -> bool:
        return test.passes(figures[kind], retrain, _tolerance(figures[kind].error, retrain.error, noise))

    tolerance = _tolerance(figures["method"].error, retrain.error, noise)
    exact = test.ideal if like_unseen or not test.against_unseen else None
    if exact is not None and abs(retrain.value - exact) > _tolerance(retrain.error, 0.0, noise):
        return Verdict(NOT_ENOUGH, f"Retrain itself fails: its figure should be {exact:g}", noise, tolerance)
    if not passes("retrain"):
        return Verdict(NOT_ENOUGH, "Retrain itself fails", noise, tolerance)
    if test.needs_control and passes("original"):
        return Verdict(NOT_ENOUGH, "the original passes too: the test cannot tell it from Retrain", noise, tolerance)
    if passes("method") and test.needs_control and _nearer_to_original(figures):
        return Verdict(NOT_ENOUGH, "noise explains its distance to Retrain, but it is nearer to the original", noise, tolerance)
    return Verdict(PASS if passes("method") else FAIL, "", noise, tolerance)


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


def _nearer_to_original(figures: Mapping[str, Figure]) -> bool:
    to_original, to_retrain = (abs(figures["method"].value - figures[kind].value) for kind in ("original", "retrain"))
    return to_original < to_retrain


def _tolerance(error: float, other: float, noise: float | None) -> float:
    return DEVIATIONS * (error**2 + other**2 + (noise or 0.0) ** 2) ** 0.5

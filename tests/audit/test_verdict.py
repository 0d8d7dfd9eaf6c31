"""The rule of the verdicts."""

import pytest

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.plan import planned
from dau_lightning.audit.verdict import summary_line, verdict
from dau_lightning.storage.audit_file import FAIL, NOT_ENOUGH, PASS


class Measured(AuditTest):
    """A test whose figures are given, not measured."""

    def measure(self, case: Case, kind: str) -> Figure:
        raise AssertionError(kind)


def said(
    ideal: float | None = None,
    control: bool = True,
    error: float = 1.0,
    against_unseen: bool = False,
    like_unseen: bool = True,
    **values: float,
):
    test = Measured(priority=0, meaning="")
    test.ideal, test.needs_control, test.against_unseen = ideal, control, against_unseen
    return verdict(test, {kind: Figure(value, error) for kind, value in values.items()}, like_unseen)


@pytest.mark.parametrize(("method", "word"), [(50, PASS), (52.8, PASS), (47.2, PASS), (52.9, FAIL), (47.1, FAIL)])
def test_two_deviations_of_the_difference_from_retrain_decide(method, word):
    found = said(method=method, retrain=50, original=70)
    assert found.tolerance == pytest.approx(2 * 2**0.5)
    assert (found.verdict, found.why, found.noise) == (word, "", None)


def test_the_second_retrain_adds_noise():
    found = said(method=56, retrain=50, original=70, retrain_again=53)
    assert found.noise == 3
    assert found.tolerance == pytest.approx(2 * 11**0.5)
    assert found.verdict == PASS


def test_a_test_that_retrain_fails_counts_for_nobody():
    found = said(ideal=50, method=54, retrain=54, original=70)
    assert (found.verdict, found.why) == (NOT_ENOUGH, "Retrain itself fails: its figure should be 50")
    assert said(ideal=50, method=51.9, retrain=51.9, original=70).verdict == PASS


def test_where_unseen_images_are_no_standard_retrain_alone_is():
    values = {"ideal": 50, "method": 6, "retrain": 5, "original": 99}
    assert said(**values, against_unseen=True, like_unseen=False).verdict == PASS
    assert said(**values, against_unseen=True).why == "Retrain itself fails: its figure should be 50"
    assert said(**values, like_unseen=False).why == "Retrain itself fails: its figure should be 50"


def test_a_test_that_the_original_passes_counts_for_nobody():
    found = said(method=70, retrain=50, original=51)
    assert found.verdict == NOT_ENOUGH
    assert "cannot tell it from Retrain" in found.why
    assert said(control=False, method=70, retrain=50, original=51).verdict == FAIL


@pytest.mark.parametrize(
    ("name", "retrain", "original"), [("relearning", 9, 0), ("linear_probe", 75, 100), ("residual_knowledge", 1, 3)]
)
def test_a_model_that_knows_less_than_retrain_passes(name, retrain, original):
    figures = {"retrain": Figure(retrain, 0.1), "original": Figure(original, 0.1)}
    less, more = (Figure(retrain - sign * (original - retrain) / 3, 0.1) for sign in (1, -1))
    test = planned([])[name].test
    assert verdict(test, figures | {"method": less}).verdict == PASS
    assert verdict(test, figures | {"method": more}).verdict == FAIL


def test_a_figure_nearer_to_the_original_is_no_pass():
    found = said(method=52.7, retrain=50, original=55)
    assert found.verdict == NOT_ENOUGH
    assert "nearer to the original" in found.why
    assert said(method=52.4, retrain=50, original=55).verdict == PASS


def test_the_summary_names_what_failed():
    assert summary_line({"a": PASS, "b": PASS}) == "audit: 2 of 2 tests passed"
    assert summary_line({"a": FAIL, "b": NOT_ENOUGH}) == "audit: 0 of 2 tests passed; failed: a; not enough data: b"

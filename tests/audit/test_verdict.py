"""The rule of the verdicts."""

from typing import Any

import numpy as np
import pytest

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, mean_figure
from dau_lightning.audit.plan import planned
from dau_lightning.audit.verdict import Verdict, summary_line, verdict
from dau_lightning.storage.audit_file import FAIL, NOT_ENOUGH, PASS


class Measured(AuditTest):
    """A test whose figures are given, not measured."""

    def measure(self, case: Case, kind: str) -> Figure:
        raise AssertionError(kind)


def said(ideal: float | None = None, like_unseen: bool = True, **values: Any) -> Verdict:
    """The verdict where each model's figure moves by 1 with a sample of its own."""
    test = Measured(priority=0, meaning="")
    test.ideal = ideal
    test.against_unseen = values.pop("against_unseen", False)
    samples = np.eye(len(values))
    figures = {kind: Figure(value, samples[place]) for place, (kind, value) in enumerate(values.items())}
    return verdict(test, figures, like_unseen)


@pytest.mark.parametrize(("method", "word"), [(50, PASS), (52.8, PASS), (47.2, PASS), (52.9, FAIL), (47.1, FAIL)])
def test_two_deviations_of_the_difference_from_retrain_decide(method, word):
    found = said(method=method, retrain=50, original=70)
    assert found.tolerance == pytest.approx(2 * 2**0.5)
    assert (found.verdict, found.why, found.standard, found.noise) == (word, "", 50, None)


def test_what_the_same_samples_do_to_both_models_is_no_error():
    same, own = np.array([3.0, 0.0, 4.0]), np.array([0.0, 1.0, 0.0])
    figures = {"method": Figure(52.5, same + own), "retrain": Figure(50, same), "original": Figure(70, same)}
    found = verdict(Measured(priority=0, meaning=""), figures)
    assert (found.tolerance, found.verdict) == (2, FAIL)


def test_the_standard_is_the_mean_over_retrains_and_their_spread_is_noise():
    retrains = {"retrain": 50, "retrain 0": 53, "retrain 1": 47}
    found = said(method=56, original=90, **retrains)
    assert (found.standard, found.noise) == (50, 3)
    assert found.tolerance == pytest.approx((4 * (1 + 1 / 3) + (4.3027 * 3) ** 2 * (1 + 1 / 3)) ** 0.5, abs=1e-3)
    assert found.verdict == PASS
    assert said(method=66, original=90, **retrains).verdict == FAIL


def test_a_distance_to_retrain_is_judged_by_other_retrains():
    figures = {kind: Figure(value, np.zeros(1)) for kind, value in (("retrain", 1.0), ("retrain 0", 0.96), ("retrain 1", 0.97))}
    figures |= {"original": Figure(0.5, np.zeros(1)), "method": Figure(0.94, np.zeros(1))}
    tow = planned([])["tow"].test
    assert verdict(tow, figures).standard == pytest.approx(0.965)
    assert verdict(tow, figures).verdict == PASS
    assert verdict(tow, figures | {"method": Figure(0.99, np.zeros(1))}).verdict == PASS
    alone = {kind: figures[kind] for kind in ("method", "retrain", "original")}
    assert (verdict(tow, alone).standard, verdict(tow, alone).verdict) == (1.0, FAIL)


def test_an_exact_unlearning_seldom_fails():
    """Of many sets of models, all of them Retrains, one in 20 differs from the others by more than the tolerance."""
    draws, test, failed = np.random.default_rng(0), Measured(priority=0, meaning=""), []
    for _ in range(2000):
        shared = draws.normal(size=200)
        hits = shared + draws.normal(size=(6, 200)) + 0.2 * draws.normal(size=(6, 1))  # images, models, trainings
        models = [mean_figure(each) for each in hits]
        kinds = ["method", "retrain", "retrain 0", "retrain 1", "retrain 2", "retrain 3"]
        found = verdict(test, dict(zip(kinds, models, strict=True)) | {"original": Figure(99.0, models[0].influence)})
        failed.append(found.verdict == FAIL)
    assert 0.005 < np.mean(failed) < 0.06


def test_a_test_that_retrain_fails_counts_for_nobody():
    found = said(ideal=50, method=54, retrain=54, original=70)
    assert (found.verdict, found.why) == (NOT_ENOUGH, "Retrain itself fails: its figure should be 50")
    assert said(ideal=50, method=51.9, retrain=51.9, original=70).verdict == PASS


def test_where_unseen_images_are_no_standard_retrain_alone_is():
    values = {"ideal": 50, "method": 6, "retrain": 5, "original": 99}
    assert said(**values, against_unseen=True, like_unseen=False).verdict == PASS
    assert said(**values, against_unseen=True).why == "Retrain itself fails: its figure should be 50"
    assert said(**values, like_unseen=False).why == "Retrain itself fails: its figure should be 50"


def test_no_model_passes_a_test_that_the_original_passes():
    found = said(method=50, retrain=50, original=51)
    assert found.verdict == NOT_ENOUGH
    assert "cannot tell it from Retrain" in found.why
    assert said(method=70, retrain=50, original=51).verdict == FAIL


@pytest.mark.parametrize(
    ("name", "retrain", "original"), [("relearning", 9, 0), ("linear_probe", 75, 100), ("residual_knowledge", 1, 3)]
)
def test_a_model_that_knows_less_than_retrain_passes(name, retrain, original):
    figures = {"retrain": Figure(retrain, np.zeros(1)), "original": Figure(original, np.zeros(1))}
    less, more = (Figure(retrain - sign * (original - retrain) / 2, np.zeros(1)) for sign in (1, -1))
    test = planned([])[name].test
    assert verdict(test, figures | {"method": less}).verdict == PASS
    assert verdict(test, figures | {"method": more}).verdict == FAIL


def test_a_figure_on_its_way_to_the_original_is_no_pass():
    found = said(method=52.7, retrain=50, original=60)
    assert found.verdict == NOT_ENOUGH
    assert "on its way to the original" in found.why
    assert said(method=52.4, retrain=50, original=60).verdict == PASS
    assert said(method=47.3, retrain=50, original=60).verdict == PASS


def test_retrain_is_judged_by_the_others():
    retrains = {f"retrain {number}": 50 + number / 10 for number in range(4)}
    assert said(method=50, retrain=51, original=90, **retrains).verdict == PASS
    found = said(method=50, retrain=57, original=90, **retrains)
    assert (found.verdict, found.why) == (NOT_ENOUGH, "Retrain itself fails")


def test_the_summary_names_what_failed():
    assert summary_line({"a": PASS, "b": PASS}) == "audit: 2 of 2 tests passed"
    assert summary_line({"a": FAIL, "b": NOT_ENOUGH}) == "audit: 0 of 2 tests passed; failed: a; not enough data: b"

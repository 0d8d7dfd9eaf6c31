"""The epsilon of the challenge against loops over all thresholds."""

from math import inf, log

import numpy as np
import pytest

from dau_lightning.audit.measure.epsilon import Epsilon, epsilon
from dau_lightning.audit.shadows import members, shadow_margins
from tests.audit.conftest import shadowed

DELTA = 1e-5


def by_definition(unlearned, retrained):
    """Every attack with one or two thresholds, and its complement."""
    cuts = [-inf, *sorted({*unlearned, *retrained}), inf]
    best = 0.0
    for place, low in enumerate(cuts):
        for high in cuts[place + 1 :]:
            for flip in (False, True):
                called = [[(low <= value < high) != flip for value in each] for each in (unlearned, retrained)]
                fnr, fpr = called[0].count(False) / len(unlearned), called[1].count(True) / len(retrained)
                if fnr == 0 and fpr == 0:
                    return inf
                if fnr and fpr:
                    pairs = ((1 - DELTA - fpr, fnr), (1 - DELTA - fnr, fpr))
                    best = max([best, *(log(over / under) for over, under in pairs if over > 0)])
    return best


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_definition(seed):
    draws = np.random.default_rng(seed)
    unlearned, retrained = draws.normal(0.5 * seed, 1, 7), draws.normal(size=6).round(1)
    assert epsilon(unlearned, retrained, DELTA) == pytest.approx(by_definition(unlearned, retrained), abs=1e-6)


def test_equal_models_prove_nothing():
    assert epsilon(np.array([0.0, 1.0]), np.array([0.0, 1.0]), DELTA) == 0


def test_models_that_never_overlap_have_an_infinite_epsilon():
    assert epsilon(np.arange(4.0), 9 + np.arange(4.0), DELTA) == inf
    assert epsilon(np.array([1.0, 1.0]), np.array([1.0, 1.0]), DELTA) == 0


def test_the_quality_is_the_mean_over_samples_times_two_ratios(usual):
    test, case = Epsilon(priority=0, meaning="", delta=DELTA), shadowed(usual, 16, method=0.0)
    figures = {kind: test.measure(case, kind) for kind in ("method", "retrain", "original")}
    inside, margins = members(case), {kind: shadow_margins(case, kind) for kind in ("method", "retrain")}
    pairs = [(margins["method"][inside[:, i], i], margins["retrain"][~inside[:, i], i]) for i in range(120)]
    expected = np.mean([2.0 ** -np.floor(2 * by_definition(*pair)) for pair in pairs])
    details = figures["method"].details
    assert figures["method"].value == pytest.approx(expected * details["RA_ratio"] * details["TA_ratio"], abs=1e-6)
    assert figures["original"].value < figures["retrain"].value
    assert figures["retrain"].details == {"RA_ratio": 1, "TA_ratio": 1}


def test_there_is_no_verdict_below_64_models(usual):
    usual.shadows = 16
    test = Epsilon(priority=0, meaning="", delta=DELTA)
    assert test.doubt(usual) == "8 models of each kind, a verdict needs 64"
    usual.shadows = 128
    assert test.doubt(usual) == ""

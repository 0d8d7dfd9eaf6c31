"""U-LiRA against a script written from the definitions alone."""

from math import log, pi

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.measure.ulira import ULiRA, likelihood_ratios
from dau_lightning.audit.shadows import members, shadow_margins
from tests.audit.conftest import shadowed

TEST = ULiRA(priority=0, meaning="")


def by_definition(margins, inside, pooled):
    shadows, samples = margins.shape
    scores = np.zeros_like(margins)
    for target in range(shadows):
        groups = [
            [[margins[s, i] for s in range(shadows) if s // 2 != target // 2 and inside[s, i] == known] for i in range(samples)]
            for known in (True, False)
        ]
        for sign, group in zip((1, -1), groups, strict=True):
            squares = [sum((value - np.mean(values)) ** 2 for value in values) for values in group]
            freedom = [len(values) - 1 for values in group]
            for i, values in enumerate(group):
                variance = sum(squares) / sum(freedom) if pooled else squares[i] / freedom[i]
                likelihood = -0.5 * log(2 * pi * variance) - (margins[target, i] - np.mean(values)) ** 2 / (2 * variance)
                scores[target, i] += sign * likelihood
    return scores


@pytest.mark.parametrize(("shadows", "pooled"), [(8, True), pytest.param(64, False, marks=pytest.mark.slow)])
def test_it_agrees_with_the_definition(usual, shadows, pooled):
    case = shadowed(usual, shadows, method=2.0)
    inside, margins = members(case)[:, :12], shadow_margins(case, "method")[:, :12]
    scores = by_definition(margins, inside, pooled)
    assert likelihood_ratios(margins, inside, pooled) == pytest.approx(scores, abs=1e-6)
    figure, found = TEST.measure(case, "method"), TEST.shadow_scores(case, "method")
    if not pooled:
        assert found[:, :12] == pytest.approx(scores, abs=1e-6)
    areas = [roc_auc_score(*pair) for pair in zip(members(case), found, strict=True)]
    assert figure.value == pytest.approx(100 * np.mean(areas), abs=1e-6)


def test_retrain_is_at_chance_and_the_original_near_the_top(usual):
    case = shadowed(usual, 16, method=0.5)
    retrain, method, original = (TEST.measure(case, kind) for kind in ("retrain", "method", "original"))
    assert abs(retrain.value - 50) < 3 * retrain.error
    assert original.value > 95
    assert retrain.value + 2 * retrain.error < method.value < original.value
    assert not original.details  # 960 nonmembers: too few for a rate of 1%
    assert len(original.arrays["sample"]) == 120


def test_its_error_is_the_jackknifes_over_pairs_of_shadow_models(usual):
    case = shadowed(usual, 8, method=0.5)
    inside, margins = members(case), shadow_margins(case, "method")
    areas = []
    for pair in range(4):
        rest = [model for model in range(8) if model // 2 != pair]
        scores = by_definition(margins[rest], inside[rest], True)
        areas.append(100 * np.mean([roc_auc_score(*each) for each in zip(inside[rest], scores, strict=True)]))
    variance = 3 / 4 * sum((each - np.mean(areas)) ** 2 for each in areas)
    assert TEST.measure(case, "method").error == pytest.approx(variance**0.5)


def test_an_exact_unlearning_has_50_whatever_the_number_of_models():
    draws, found = np.random.default_rng(0), []
    for _ in range(20):
        first = draws.permuted(np.tile([True, False], (4, 450)), axis=1)
        inside = np.stack([first, ~first], 1).reshape(8, 900)
        scores = likelihood_ratios(draws.normal(size=(8, 900)), inside, pooled=True)
        found += [100 * roc_auc_score(*each) for each in zip(inside, scores, strict=True)]
    assert np.mean(found) == pytest.approx(50, abs=0.4)  # with the target's partner it is 47.3


def test_each_sample_is_in_half_of_the_shadow_models(usual):
    usual.shadows = 10
    inside = members(usual)
    assert inside.shape == (10, 120)
    assert (inside.sum(0) == 5).all()
    assert (inside.sum(1) == 60).all()

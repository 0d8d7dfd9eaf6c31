"""U-LiRA against a script written from the definitions alone."""

from dataclasses import replace
from math import log, pi

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.measure.ulira import ULiRA, area, likelihood_ratios, vulnerable
from dau_lightning.audit.shadows import members
from tests.audit.conftest import shadowed


def by_definition(margins, inside, pooled):
    shadows, samples = margins.shape
    scores = np.zeros_like(margins)
    for target in range(shadows):
        groups = [
            [[margins[s, i] for s in range(shadows) if s != target and inside[s, i] == known] for i in range(samples)]
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


@pytest.mark.parametrize(("shadows", "pooled"), [(8, True), (64, False)])
def test_it_agrees_with_the_definition(shadows, pooled):
    draws = np.random.default_rng(0)
    inside = np.arange(shadows)[:, None] % 2 == draws.integers(2, size=12)
    margins = draws.normal(size=(shadows, 12)) + 2 * inside
    scores = by_definition(margins, inside, pooled)
    assert likelihood_ratios(margins, inside) == pytest.approx(scores, abs=1e-6)
    areas = [roc_auc_score(inside[target], scores[target]) for target in range(shadows)]
    assert area(scores, inside) == pytest.approx(100 * np.mean(areas), abs=1e-6)


def test_retrain_is_at_chance_and_the_original_near_the_top(usual):
    case = shadowed(usual, 16, method=0.5)
    retrain, method, original = (
        ULiRA(priority=0, meaning="").measure(case, kind) for kind in ("retrain", "method", "original")
    )
    assert abs(retrain.value - 50) < 3 * retrain.error
    assert original.value > 95
    assert retrain.value + 2 * retrain.error < method.value < original.value
    assert set(original.details) == {"auc_vulnerable"}  # 960 nonmembers: too few for a rate of 1%
    assert len(original.arrays["sample"]) == 120


def test_canaries_have_a_figure_of_their_own(usual):
    marked = torch.arange(120) < 20
    usual.split = replace(usual.split, forget=replace(usual.split.forget, corrupted=marked))
    case = shadowed(usual, 16, method=0.0)
    inside = members(case)
    case.shadow_margins["method"] += 5 * (inside & marked.numpy())  # only canaries are remembered
    figure = ULiRA(priority=0, meaning="").measure(case, "method")
    assert figure.details["auc_canaries"] > 95 > 70 > figure.value
    scores = likelihood_ratios(case.shadow_margins["method"], inside)[:, :20]
    assert figure.details["auc_canaries"] == pytest.approx(100 * roc_auc_score(inside[:, :20].ravel(), scores.ravel()))


def test_vulnerable_samples_are_those_that_training_changes():
    inside = np.arange(8)[:, None] % 2 == np.arange(40) % 2
    assert sorted(vulnerable(np.where(inside, np.arange(40), 0.0), inside)) == [38, 39]


def test_each_sample_is_in_half_of_the_shadow_models(usual):
    usual.shadows = 10
    inside = members(usual)
    assert inside.shape == (10, 120)
    assert (inside.sum(0) == 5).all()
    assert (inside.sum(1) == 60).all()

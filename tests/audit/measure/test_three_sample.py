"""The three-sample test against a double loop over pairs, and on samples of known distance."""

import numpy as np
import pytest
from scipy.stats import norm

from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.three_sample import ThreeSample, relative_similarity
from dau_lightning.audit.verdict import verdict
from dau_lightning.storage.audit_file import PASS

TEST = ThreeSample(priority=0, meaning="")


def by_loops(x, y, z):
    """From the definition: unbiased estimates, and the variance of a U-statistic of order two."""
    everything = np.concatenate([x, y, z])
    distances = [np.linalg.norm(a - b) for i, a in enumerate(everything) for b in everything[:i]]
    width, n = np.median(distances), len(x)

    def k(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width**2))

    def unbiased(a, b):
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        total = sum(k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i]) for i, j in pairs)
        return total / (n * (n - 1))

    def h(i, j, other):
        return k(other[i], other[j]) - k(x[i], other[j]) - k(x[j], other[i])

    first = [sum(h(i, j, z) - h(i, j, y) for j in range(n) if j != i) / (n - 1) for i in range(n)]
    return (unbiased(x, z) - unbiased(x, y)) / np.sqrt(4 * np.var(first, ddof=1) / n)


def test_it_agrees_with_loops_over_pairs():
    draws = np.random.default_rng(0)
    x, y, z = (draws.normal(shift, 1, (15, 3)) for shift in (0, 0.2, 1))
    assert relative_similarity(x, y, z) == pytest.approx(by_loops(x, y, z), abs=1e-9)


def test_at_equal_distances_p_is_uniform():
    draws = np.random.default_rng(1)
    values = []
    for _ in range(300):
        x, y, z = (draws.normal(shift, 1, (60, 2)) for shift in (0, 1, -1))
        values.append(relative_similarity(x, y, z))
    assert np.mean(norm.sf(values) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_equal_samples_are_no_nearer_to_anything():
    same = np.ones((20, 2))
    assert relative_similarity(same, same, same) == 0


def test_a_second_retrain_passes_and_the_original_fails(usual):
    figures = {kind: TEST.measure(usual, kind) for kind in ("method", "retrain", "original")}
    assert figures["original"].value < 0 < figures["method"].value
    assert figures["method"].details["p"] == pytest.approx(norm.sf(figures["method"].value))
    assert verdict(TEST, figures).verdict == PASS


def test_it_needs_sixty_images(make_case):
    with pytest.raises(NotEnough, match=r"13 images in a third of the forget set, .* it needs 20: forget more"):
        TEST.measure(make_case(sizes={"forget": 40}, method=2.0), "method")

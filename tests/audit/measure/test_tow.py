"""ToW against its definition."""

import numpy as np
import pytest

from dau_lightning.audit.measure.tow import PARTS, ToW

TOW = ToW(priority=0, meaning="")


def test_retrain_has_one(usual):
    figure = TOW.measure(usual, "retrain")
    assert (figure.value, figure.error) == (1.0, 0.0)


def test_it_is_the_product_over_three_accuracies(usual):
    right = {
        (kind, part): (usual.known[kind, part].logits.argmax(1) == usual.part(part).targets).double().numpy()
        for kind in ("original", "retrain")
        for part in PARTS
    }
    accuracy = {pair: 100 * hits.mean() for pair, hits in right.items()}
    expected = np.prod([1 - abs(accuracy["original", part] - accuracy["retrain", part]) / 100 for part in PARTS])
    figure = TOW.measure(usual, "original")
    assert figure.value == pytest.approx(expected, abs=1e-12)
    draws = np.random.default_rng(0)
    again = []
    for _ in range(2000):
        factors = []
        for part in PARTS:
            at = draws.integers(len(right["original", part]), size=len(right["original", part]))
            factors.append(1 - abs(right["original", part][at].mean() - right["retrain", part][at].mean()))
        again.append(np.prod(factors))
    assert figure.error == pytest.approx(np.std(again), rel=0.1)

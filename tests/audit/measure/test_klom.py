"""KLOM against a plain loop."""

from math import log

import numpy as np
import pytest

from dau_lightning.audit.measure.klom import KLOM, divergences
from dau_lightning.audit.verdict import verdict
from dau_lightning.storage.audit_file import PASS
from tests.audit.conftest import shadowed


def test_it_agrees_with_the_definition():
    draws = np.random.default_rng(0)
    inside = np.arange(8)[:, None] % 2 == draws.integers(2, size=5)
    unlearned, retrained = draws.normal(size=(2, 8, 5))
    found = []
    for i in range(5):
        first = [retrained[s, i] for s in range(8) if not inside[s, i]]
        second = [unlearned[s, i] for s in range(8) if inside[s, i]]
        low, high = min(first + second), max(first + second)
        counts = [[0.5] * 3, [0.5] * 3]
        for count, values in zip(counts, (first, second), strict=True):
            for value in values:
                count[min(2, int(3 * (value - low) / (high - low)))] += 1
        p, q = ([each / sum(count) for each in count] for count in counts)
        found.append(sum(a * log(a / b) for a, b in zip(p, q, strict=True)))
    assert divergences(unlearned, retrained, inside, 3) == pytest.approx(found, abs=1e-6)


def test_another_retrain_passes_and_the_original_is_far(usual):
    test, case = KLOM(priority=0, meaning="", bins=10), shadowed(usual, 16, method=0.0)
    figures = {kind: test.measure(case, kind) for kind in ("method", "retrain", "original")}
    assert figures["original"].value > 2 * figures["retrain"].value
    assert verdict(test, figures).verdict == PASS

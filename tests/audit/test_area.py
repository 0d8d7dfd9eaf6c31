"""The AUC with influences, against the package's AUC and against resampling."""

import numpy as np
import pytest
import torch

from dau_lightning.audit.area import area
from dau_lightning.metric.auc import auc

DRAWS = np.random.default_rng(0)
FORGET_LABELS, UNSEEN_LABELS = torch.from_numpy(DRAWS.integers(3, size=90)), torch.from_numpy(DRAWS.integers(4, size=200))


def drawn(more: float, draws: np.random.Generator = DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, higher by `more` for forget samples; classes differ."""
    forget, unseen = (np.round(draws.normal(size=len(labels)) + labels.numpy(), 1) for labels in (FORGET_LABELS, UNSEEN_LABELS))
    return forget + more, unseen


@pytest.mark.parametrize("more", [0.0, 1.0, -2.0])
def test_it_is_the_auc_of_the_package(more):
    forget, unseen = drawn(more)
    found = area(forget, FORGET_LABELS, unseen, UNSEEN_LABELS)
    expected = auc(torch.from_numpy(forget), FORGET_LABELS, torch.from_numpy(unseen), UNSEEN_LABELS)
    assert found
    assert expected
    assert found[0] == pytest.approx(expected[0])
    assert found[1].sum() == pytest.approx(0)
    assert len(found[1]) == 290


def test_the_error_of_a_difference_is_that_of_resampling():
    forget, unseen = drawn(0.5)
    others = forget + 0.5 * DRAWS.normal(size=90), unseen + 0.5 * DRAWS.normal(size=200)
    one, two = (area(each[0], FORGET_LABELS, each[1], UNSEEN_LABELS) for each in ((forget, unseen), others))
    assert one
    assert two
    differences, alone = [], []
    for _ in range(2000):
        first, second = DRAWS.integers(90, size=90), DRAWS.integers(200, size=200)
        labels = FORGET_LABELS[first], UNSEEN_LABELS[second]
        found = [area(each[0][first], labels[0], each[1][second], labels[1]) for each in ((forget, unseen), others)]
        assert found[0]
        assert found[1]
        differences.append(found[0][0] - found[1][0])
        alone.append(found[0][0])
    assert np.linalg.norm(one[1] - two[1]) == pytest.approx(np.std(differences), rel=0.1)
    assert np.linalg.norm(one[1]) == pytest.approx(np.std(alone), rel=0.1)


def test_without_a_common_class_there_is_none():
    assert area(np.zeros(2), torch.zeros(2, dtype=torch.long), np.zeros(2), torch.ones(2, dtype=torch.long)) is None

"""Class-wise spread against its definition."""

import numpy as np
import pytest
import torch

from dau_lightning.audit.case import Outputs
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.classwise_spread import ClasswiseSpread

SPREAD = ClasswiseSpread(priority=0, meaning="")


@pytest.fixture
def classwise(make_case, monkeypatch):
    case = make_case(sizes={"test_forget": 90}, method=2.0, retrain=2.0, original=8.0)
    monkeypatch.setattr(type(case), "whole_classes", True)
    return case


def test_it_is_half_the_sum_of_the_differences_of_shares(classwise):
    classwise.outputs("original", "test_forget").logits[:, 0] += 2  # far from Retrain, or a resampled sum would turn its signs
    own, retrain = (classwise.outputs(kind, "test_forget").logits.argmax(1).numpy() for kind in ("original", "retrain"))

    def spread(at: np.ndarray) -> float:
        return sum(max(0.0, (own[at] == label).mean() - (retrain[at] == label).mean()) for label in range(3))

    figure, draws = SPREAD.measure(classwise, "original"), np.random.default_rng(0)
    assert figure.value == pytest.approx(spread(np.arange(90)))
    assert figure.error == pytest.approx(np.std([spread(draws.integers(90, size=90)) for _ in range(2000)]), rel=0.15)


def test_retrain_has_zero_and_another_class_has_one(classwise):
    assert SPREAD.measure(classwise, "retrain").value == 0
    for kind, label in (("method", 0), ("retrain", 1)):
        logits = torch.eye(3)[torch.full((90,), label)]
        classwise.known[kind, "test_forget"] = Outputs(logits, logits)
    figure = SPREAD.measure(classwise, "method")
    assert (figure.value, figure.error) == (1.0, 0.0)


def test_it_needs_a_forgotten_class_with_test_images(usual, make_case, monkeypatch):
    assert not SPREAD.applies(usual)
    monkeypatch.setattr(type(usual), "whole_classes", True)
    with pytest.raises(NotEnough, match="no image of the forgotten classes"):
        SPREAD.measure(usual, "method")

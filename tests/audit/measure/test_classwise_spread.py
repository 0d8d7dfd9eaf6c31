"""Class-wise spread against its definition."""

import numpy as np
import pytest
import torch

from dau_lightning.audit.case import Outputs
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.classwise_spread import ClasswiseSpread, total_variation

SPREAD = ClasswiseSpread(priority=0, meaning="")


@pytest.fixture
def classwise(make_case, monkeypatch):
    case = make_case(sizes={"test_forget": 90}, method=2.0, retrain=2.0, original=8.0)
    monkeypatch.setattr(type(case), "whole_classes", True)
    return case


def test_total_variation_is_half_the_sum_of_differences():
    draws = np.random.default_rng(0)
    first, second = draws.integers(5, size=40), draws.integers(4, size=40)
    expected = sum(max(0.0, (first == label).mean() - (second == label).mean()) for label in range(5))
    assert total_variation(first, second, 5) == pytest.approx(expected)


def test_retrain_has_zero_and_another_class_has_one(classwise):
    assert SPREAD.measure(classwise, "retrain").value == 0
    for kind, label in (("method", 0), ("retrain", 1)):
        logits = torch.eye(3)[torch.full((90,), label)]
        classwise.known[kind, "test_forget"] = Outputs(logits, logits)
    figure = SPREAD.measure(classwise, "method")
    assert (figure.value, figure.error) == (1.0, 0.0)


def test_it_needs_a_forgotten_class_with_test_images(usual, make_case, monkeypatch):
    with pytest.raises(NotEnough, match="no whole class was forgotten"):
        SPREAD.measure(usual, "method")
    monkeypatch.setattr(type(usual), "whole_classes", True)
    with pytest.raises(NotEnough, match="no image of the forgotten classes"):
        SPREAD.measure(usual, "method")

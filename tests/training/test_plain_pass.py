from typing import Any

import pytest
import torch

from dau_lightning.training import plain_pass
from dau_lightning.training.plain_pass import accuracy_as_in, mean_squared_gradient
from tests.one_step import inputs, sample_gradients


def test_classes_count_as_often_as_they_are_asked_for(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    val = tiny.images("val", 12)
    right = val.targets == 0
    right[0] = False  # of class a, three of four images; none of b
    monkeypatch.setattr(plain_pass, "correct", lambda *_: right)
    asked = [([0, 0], 0.75), ([0, 1, 1, 1], 0.1875), ([0, 2], 0.75)]
    only_two = val[(val.targets < 2).nonzero().flatten()]
    for targets, expected in asked[:2]:
        assert accuracy_as_in(tiny.defender(), val, None, torch.tensor(targets)) == pytest.approx(expected)
    monkeypatch.setattr(plain_pass, "correct", lambda *_: right[val.targets < 2])
    targets, expected = asked[2]  # there is no image of class c
    assert accuracy_as_in(tiny.defender(), only_two, None, torch.tensor(targets)) == pytest.approx(expected)


def test_mean_squared_gradient_is_that_of_single_images(tiny: Any) -> None:
    found = mean_squared_gradient(tiny.defender(), tiny.images("retain", 36), tiny.transform)
    expected = sample_gradients(tiny.defender().network, *inputs(tiny, "retain")).square().mean(0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-9)

import math

import pytest
import torch

from dau_lightning.game.extra_loss.gradient_ascent import GradientAscent


def test_is_minus_the_cross_entropy() -> None:
    logits, targets = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([1, 0])
    expected = 0.0
    for row, label in zip(logits.tolist(), targets.tolist(), strict=True):
        expected += math.log(math.exp(row[label]) / sum(map(math.exp, row))) / 2
    assert GradientAscent(0.3).loss(logits, targets).item() == pytest.approx(0.3 * expected, rel=1e-5)


def test_descent_on_it_unlearns_the_label() -> None:
    logits, targets = torch.zeros(2, 3, requires_grad=True), torch.tensor([1, 0])
    (slope,) = torch.autograd.grad(GradientAscent(1.0).loss(logits, targets), logits)
    chosen = torch.nn.functional.one_hot(targets, 3).bool()
    assert (slope[chosen] > 0).all()
    assert (slope[~chosen] < 0).all()

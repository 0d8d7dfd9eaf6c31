import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from dau_lightning.baseline.neggrad_plus import NegGradPlus
from dau_lightning.data.loader import Batch
from dau_lightning.game.extra_loss.gradient_ascent import GradientAscentLoss
from dau_lightning.training.sgd import SGDMethod


def loss(weight: float, logits: Tensor, targets: Tensor) -> Tensor:
    return GradientAscentLoss(weight).loss(cast(SGDMethod, None), {"forget": Batch(torch.zeros(2), targets)}, logits)


def test_is_minus_the_cross_entropy() -> None:
    logits, targets = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([1, 0])
    expected = 0.0
    for row, label in zip(logits.tolist(), targets.tolist(), strict=True):
        expected += math.log(math.exp(row[label]) / sum(map(math.exp, row))) / 2
    assert loss(0.3, logits, targets).item() == pytest.approx(0.3 * expected, rel=1e-5)


def test_descent_on_it_unlearns_the_label() -> None:
    logits, targets = torch.zeros(2, 3, requires_grad=True), torch.tensor([1, 0])
    (slope,) = torch.autograd.grad(loss(1.0, logits, targets), logits)
    chosen = torch.nn.functional.one_hot(targets, 3).bool()
    assert (slope[chosen] > 0).all()
    assert (slope[~chosen] < 0).all()


def test_a_method_without_forget_logits_takes_a_pass_for_it(tiny: Any) -> None:
    module = tiny.module(NegGradPlus, retain_weight=0.9, forget_batch_size=12)
    forget = tiny.images("forget", 12)
    batch = {"forget": Batch(tiny.transform.normalise(forget.images), forget.targets)}
    expected = -0.3 * module.cross_entropy(batch["forget"])
    torch.testing.assert_close(GradientAscentLoss(0.3).loss(module, batch, None), expected)

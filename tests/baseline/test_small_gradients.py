from typing import Any

import pytest
import torch
from torch import nn

from dau_lightning.base.randomness import generator
from dau_lightning.baseline.small_gradients import SmallGradients, kaiming, smallest
from tests.one_step import FULL, assert_equal, cross_entropy, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}
SETTINGS = {"share": 0.3, "other_weight": 0.1}


@pytest.mark.parametrize("count", [36, 6])  # more retain than forget images, and fewer
def test_a_step_is_that_of_the_formula(tiny: Any, count: int) -> None:
    module = tiny.module(SmallGradients, **WHOLE, **SETTINGS, lr=0.1, batch_norm="batch")
    split, network, (forget, gone) = tiny.split(retain=count), tiny.defender().network, inputs(tiny, "forget")
    retain, kept = tiny.transform.normalise(split.retain.images).repeat(36 // count, 1, 1, 1), split.retain.targets
    kept = kept.repeat(36 // count)  # a batch of 36 images has each of the six as often
    drawn = torch.randperm(count, generator=generator(0, "unlearning", "samples"))[:12]
    parameters = list(network.parameters())
    network.eval()
    difference = cross_entropy(network(retain[drawn]), kept[drawn]) - cross_entropy(network(forget), gone)
    gradients = torch.autograd.grad(difference, parameters)
    draws, factors = generator(0, "unlearning", "initialisation"), []
    with torch.no_grad():
        for weight, gradient in zip(parameters, gradients, strict=True):
            if weight.dim() != 4:
                factors.append(torch.ones_like(weight))
                continue
            order = gradient.abs().flatten().argsort()
            small = torch.zeros(weight.numel(), dtype=torch.bool)
            small[order[: -(-3 * weight.numel() // 10)]] = True
            outputs, _, height, width = weight.shape
            fresh = (2 / (outputs * height * width)) ** 0.5 * torch.randn(weight.shape, generator=draws)
            weight.copy_(torch.where(small.view_as(weight), fresh, weight))
            factors.append(torch.where(small.view_as(weight), 1.0, 0.1))
    network.train()
    slopes = torch.autograd.grad(cross_entropy(network(retain), kept), parameters)
    expected = [weight - 0.1 * factor * slope for weight, factor, slope in zip(parameters, factors, slopes, strict=True)]
    tiny.fit(module, split=split)
    assert_equal(module.defender.parameters(), expected)


@pytest.mark.parametrize(("share", "expected"), [(0.3, [2, 4]), (0.01, [4]), (1.0, [0, 2, 3, 4])])
def test_pruned_weights_do_not_count(share: float, expected: list[int]) -> None:
    values, kept = torch.tensor([5.0, 0.0, 2.0, 3.0, 1.0]), torch.tensor([True, False, True, True, True])
    assert smallest(values, kept, share).nonzero().flatten().tolist() == expected


def test_new_weights_have_the_variance_of_kaiming() -> None:
    weight = nn.Conv2d(64, 32, 3).weight
    assert float(kaiming(weight, generator(0)).std()) == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.02)

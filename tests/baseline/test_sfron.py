import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.baseline.sfron import SFRon
from dau_lightning.training.per_sample_gradient import shaped
from tests.one_step import FULL, assert_equal, cross_entropy, inputs, sample_gradients

SETTINGS = FULL | {"lr": 0.1, "interval_steps": 2, "ascent_weight": 25.0, "batch_norm": "batch"}


@pytest.mark.parametrize("clip", [7.0, 0.5])
def test_two_steps_are_those_of_the_formula(tiny: Any, clip: float) -> None:
    module = tiny.module(SFRon, **SETTINGS | {"epochs": 2, "momentum": 0.9}, clip_norm=clip)
    network, (retain, kept), (forget, gone) = tiny.defender().network, inputs(tiny, "retain"), inputs(tiny, "forget")
    importance = [sample_gradients(network, *part).square().mean(0) for part in ((forget, gone), (retain, kept))]
    moves = shaped(network, importance[0] >= importance[1])
    parameters = list(network.parameters())
    velocity = [torch.zeros_like(weight) for weight in parameters]

    def step(gradients: list[Tensor]) -> None:
        with torch.no_grad():
            for weight, speed, gradient in zip(parameters, velocity, gradients, strict=True):
                speed.mul_(0.9).add_(gradient)
                weight.sub_(0.1 * speed)

    losses = -network(forget).log_softmax(1)[torch.arange(12), gone]
    roots = losses.detach() ** -0.5
    ascent = -25.0 * (12 * roots / roots.sum() * losses).mean()
    gradients = [g * move for g, move in zip(torch.autograd.grad(ascent, parameters), moves, strict=True)]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    step([gradient * min(1.0, clip / float(norm)) for gradient in gradients])
    for _ in range(2):  # the first step has a forget step before it, the second has none
        step(list(torch.autograd.grad(cross_entropy(network(retain), kept), parameters)))
    tiny.fit(module)
    assert float(norm) > 0.5
    assert_equal(module.defender.parameters(), parameters)


def test_the_plan_counts_the_forget_steps(tiny: Any) -> None:
    plan = tiny.module(SFRon, **SETTINGS | {"forget_batch_size": 12}, clip_norm=7.0).plan(6, tiny.split())
    assert plan.endswith("of 6 steps; an epoch visits every forget sample 3.0 times")  # 12 forget images, every second step


def test_the_ascent_fades_out(tiny: Any) -> None:
    weights: list[float] = []

    class Watched(SFRon):
        def forget_loss(self, batch: Any) -> Tensor:
            loss = super().forget_loss(batch)
            losses = -self.logits(batch.images).log_softmax(1)[torch.arange(12), batch.targets].detach()
            weights.append(float(-loss.detach() / (12 * losses**0.5 / (losses**-0.5).sum()).mean()))
            return loss

    tiny.fit(tiny.module(Watched, **SETTINGS | {"epochs": 4, "interval_steps": 1, "lr": 1e-4}, clip_norm=7.0))
    assert weights == pytest.approx([25, 25 * 0.853553, 12.5, 25 * 0.146447], rel=1e-3)


def test_an_image_without_loss_does_not_take_all_of_the_weight(tiny: Any) -> None:
    class Start(SFRon):
        progress = 0.0

        def logits(self, images: Tensor) -> Tensor:
            return images

    module = tiny.module(Start, **SETTINGS, clip_norm=7.0)
    images = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    loss = module.forget_loss(SimpleNamespace(images=images, targets=torch.tensor([0, 1])))
    other = math.log(3)
    assert float(loss) == pytest.approx(-25 * other * other**-0.5 / (1e4 + other**-0.5))

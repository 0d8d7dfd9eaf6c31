import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.baseline.boundary_shrink import BoundaryShrink
from tests.one_step import assert_equal, cross_entropy, descended, inputs

SETTINGS = {"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "batch_norm": "running", "lr": 0.1}


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_a_step_is_that_of_the_formula(tiny: Any, step: float) -> None:
    trained = tiny.module(epochs=4)
    tiny.fit(trained)
    network = copy.deepcopy(trained.defender.network).eval()
    module = tiny.module(BoundaryShrink, **SETTINGS, defender=trained.defender, fgsm_step=step)
    images, targets = inputs(tiny, "forget")
    labels, unmoved, back = (nearest_wrong(network, images, targets, each) for each in (step, 0.0, -step))
    assert labels not in (unmoved, back)  # so that the step and its sign count
    network.zero_grad()
    expected = descended(network, lambda student: cross_entropy(student(images), torch.tensor(labels)), 0.1)
    tiny.fit(module)
    assert_equal(module.defender.parameters(), expected)


def nearest_wrong(network: Any, images: Tensor, targets: Tensor, step: float) -> list[int]:
    labels = []
    for image, target in zip(images.split(1), targets.split(1), strict=True):
        pixels = (0.25 * image + 0.5).requires_grad_()
        cross_entropy(network((pixels - 0.5) / 0.25), target).backward()
        moved = (pixels + step * pixels.grad.sign()).clamp(0, 1)
        outputs = network((moved - 0.5) / 0.25)[0].tolist()
        labels.append(max((k for k in range(3) if k != target), key=lambda k, outputs=outputs: outputs[k]))
    return labels


def test_sees_the_forget_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(lambda **settings: BoundaryShrink(**settings, fgsm_step=0.1)) == dict.fromkeys(range(36, 48), 2)

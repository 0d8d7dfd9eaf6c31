from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import TrainingError
from dau_lightning.baseline import amun
from dau_lightning.baseline.amun import AMUN
from dau_lightning.training import adversarial
from dau_lightning.training.adversarial import neighbours
from tests.one_step import assert_equal, cross_entropy, descended, inputs

SETTINGS = {"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "batch_norm": "batch", "lr": 0.1, "batch_size": 48}


def pgd_by_hand(network: Any, pixels: Tensor, target: Tensor, radius: float) -> Tensor:
    """50 normalised steps of a tenth of the radius for one image `(1, C, H, W)`."""
    moved = pixels.clone()
    for _ in range(50):
        moved = moved.detach().requires_grad_()
        cross_entropy(network((moved - 0.5) / 0.25), target).backward()
        moved = moved.detach() + radius / 10 * moved.grad / moved.grad.norm()
        change = moved - pixels
        if change.norm() > radius:
            change = radius * change / change.norm()
        moved = (pixels + change).clamp(0, 1)
    return moved


def test_neighbours_are_those_of_the_first_radius_that_gives_a_wrong_class(tiny: Any) -> None:
    trained = tiny.module(epochs=4)
    tiny.fit(trained)
    network, pixels = trained.defender.eval().network, tiny.images("forget", 9).images.float() / 255
    targets = network((pixels - 0.5) / 0.25).argmax(1)  # all right at first
    moved, classes = neighbours(trained.defender, tiny.transform, pixels, targets, 0.04)
    assert len(classes) == 9
    radii = []
    for i in range(9):
        radius, by_hand = 0.04, pixels[i : i + 1]
        while radius < 10 and network((by_hand - 0.5) / 0.25).argmax() == targets[i]:
            by_hand = pgd_by_hand(network, pixels[i : i + 1], targets[i : i + 1], radius)
            radii.append(radius)
            radius *= 2
        assert network((by_hand - 0.5) / 0.25).argmax() == classes[i]
        torch.testing.assert_close(moved[i : i + 1], by_hand, rtol=1e-3, atol=1e-3)
    assert len(set(radii)) > 1  # the doubling is met


def test_a_step_is_that_of_the_formula(tiny: Any) -> None:
    module, batches = tiny.module(AMUN, **SETTINGS, radius=0.04), list[Any]()
    module.on_train_batch_end = lambda _, batch, __: batches.append(batch["train"])  # type: ignore[method-assign]
    tiny.fit(module)
    forget, targets = inputs(tiny, "forget")
    moved, classes = neighbours(tiny.defender(), tiny.transform, 0.25 * forget + 0.5, targets, 0.04)
    everything = torch.cat([batches[0].images, (moved - 0.5) / 0.25]), torch.cat([batches[0].targets, classes])
    expected = descended(tiny.defender().network, lambda student: cross_entropy(student(everything[0]), everything[1]), 0.1)
    assert_equal(module.defender.parameters(), expected)
    assert len(batches[0].targets) == 48


def test_a_step_has_neighbours_in_proportion(tiny: Any) -> None:
    sizes = list[int]()
    module = tiny.module(AMUN, radius=0.04)  # 12 of 48 images in a step, and 8 neighbours
    module.defender.network.register_forward_pre_hook(
        lambda network, inputs: sizes.append(len(inputs[0])) if network[0][1].training else None
    )
    tiny.fit(module)
    assert sizes == 8 * [14]


def test_images_without_a_neighbour_are_left_out(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "predicted", lambda _, __, pixels: torch.zeros(len(pixels), dtype=torch.long))
    module = tiny.module(AMUN, radius=0.04)
    tiny.fit(module)
    assert len(module.memory["targets"]) == 8
    assert module.findings["neighbours"] == pytest.approx(2 / 3)
    monkeypatch.setattr(amun, "neighbours", lambda *_: (torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.long)))
    with pytest.raises(TrainingError, match="AMUN: no forget image has an adversarial neighbour"):
        tiny.fit(tiny.module(AMUN, radius=0.04))

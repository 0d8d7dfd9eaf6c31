from typing import Any

import torch

from dau_lightning.training.adversarial import fgsm, pgd, slope
from tests.one_step import cross_entropy


def pixels_of(tiny: Any) -> tuple[torch.Tensor, torch.Tensor]:
    images = tiny.images("forget", 6)
    return images.images.float() / 255, images.targets


def test_the_slope_is_that_of_each_image_alone(tiny: Any) -> None:
    defender, (pixels, targets) = tiny.defender().train(), pixels_of(tiny)
    found = slope(defender, tiny.transform, pixels, targets)
    network = tiny.defender().network.eval()
    for i in range(6):
        pixel = pixels[i : i + 1].clone().requires_grad_()
        cross_entropy(network((pixel - 0.5) / 0.25), targets[i : i + 1]).backward()
        torch.testing.assert_close(found[i : i + 1], pixel.grad, rtol=1e-4, atol=1e-7)
    assert all(weight.grad is None and weight.requires_grad for weight in defender.parameters())
    assert defender.training


def test_fgsm_moves_every_pixel_by_the_step_within_its_range(tiny: Any) -> None:
    defender, (pixels, targets) = tiny.defender(), pixels_of(tiny)
    moved = fgsm(defender, tiny.transform, pixels, targets, 0.1)
    expected = (pixels + 0.1 * slope(defender, tiny.transform, pixels, targets).sign()).clamp(0, 1)
    assert torch.equal(moved, expected)
    assert ((moved - pixels).abs() <= 0.1 + 1e-6).all()


def test_pgd_climbs_within_its_ball(tiny: Any) -> None:
    defender, (pixels, targets) = tiny.defender(), pixels_of(tiny)
    moved = pgd(defender, tiny.transform, pixels, targets, radius=0.3, steps=20, step=0.03)
    distance = (moved - pixels).flatten(1).norm(dim=1)
    assert (distance <= 0.3 + 1e-5).all()
    assert (distance > 0.1).all()
    assert ((moved >= 0) & (moved <= 1)).all()
    loss = [cross_entropy(defender.eval()(tiny.transform.standardise(each))[0], targets) for each in (pixels, moved)]
    assert loss[1] > loss[0]


def test_a_single_step_is_the_normalised_slope(tiny: Any) -> None:
    defender, (pixels, targets) = tiny.defender(), pixels_of(tiny)
    direction = slope(defender, tiny.transform, pixels, targets)
    length = direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    expected = (pixels + 0.01 * direction / length).clamp(0, 1)
    torch.testing.assert_close(pgd(defender, tiny.transform, pixels, targets, 0.1, 1, 0.01), expected)

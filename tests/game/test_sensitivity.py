import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.game.sensitivity import Sensitivity

IMAGES = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 1, 2, 3)).astype(np.float32))
WEIGHT = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32))


def predict(images: Tensor) -> Tensor:
    return (images.flatten(1) @ WEIGHT).softmax(1)


def reference(copies: int, noise_scale: float, divide: bool, norm: bool) -> np.ndarray:
    def probabilities(images: np.ndarray) -> np.ndarray:
        exponentials = np.exp(images.reshape(len(images), -1) @ WEIGHT.double().numpy())
        return exponentials / exponentials.sum(1, keepdims=True)

    torch.manual_seed(7)
    images, changes = IMAGES.double().numpy(), []
    for _ in range(copies):
        noisy = images + noise_scale * torch.randn(IMAGES.shape).double().numpy()
        change = probabilities(noisy) - probabilities(images)
        length = np.sqrt((change**2).sum(1, keepdims=True))
        changes.append(np.repeat(length, change.shape[1], axis=1) if norm else np.abs(change))
    mean = sum(changes) / copies
    return mean / noise_scale if divide else mean


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize(
    ("copies", "noise_scale", "images_per_pass"), [(1, 1.0, 1), (10, 0.1, 1), (10, 0.1, 15), (10, 0.1, 512)]
)
def test_sensitivity_is_its_formula(copies: int, noise_scale: float, images_per_pass: int, divide: bool, norm: bool) -> None:
    expected = reference(copies, noise_scale, divide, norm)
    torch.manual_seed(7)
    measured = Sensitivity(copies, noise_scale, divide, norm, False, images_per_pass)(predict, IMAGES, predict(IMAGES))
    np.testing.assert_allclose(measured.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert ((measured == measured[:, :1]).all().item()) is norm


def test_sensitivity_of_a_linear_map_is_the_length_of_its_columns() -> None:
    torch.manual_seed(0)
    expected = WEIGHT.double().norm(dim=0) * math.sqrt(2 / math.pi)  # E|N(0, sigma^2)|
    for divide, scale in ((True, 1.0), (False, 0.01)):
        linear = Sensitivity(4000, 0.01, divide, norm=False, gradient=False, images_per_pass=512)
        measured = linear(lambda images: images.flatten(1) @ WEIGHT, IMAGES, IMAGES.flatten(1) @ WEIGHT)
        torch.testing.assert_close(measured.mean(0).double(), scale * expected, rtol=0.02, atol=0)


def test_without_copies_it_is_zero_and_makes_no_pass() -> None:
    def forbidden(images: Tensor) -> Tensor:
        raise AssertionError("predict was called")

    for divide in (True, False):
        measured = Sensitivity(0, 1e-3, divide, False, True, 512)(forbidden, IMAGES, predict(IMAGES))
        assert torch.equal(measured, torch.zeros(5, 4))


@pytest.mark.parametrize(
    ("images_per_pass", "passes"), [(1, [5] * 7), (9, [5] * 7), (14, [10, 10, 10, 5]), (35, [35]), (512, [35])]
)
def test_a_pass_takes_whole_copies(images_per_pass: int, passes: list[int]) -> None:
    seen: list[int] = []

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        return predict(images)

    Sensitivity(7, 1.0, False, False, False, images_per_pass)(counted, IMAGES, predict(IMAGES))
    assert seen == passes


@pytest.mark.parametrize("norm", [True, False])
def test_the_gradient_can_be_switched_off(norm: bool) -> None:
    weight = WEIGHT.clone().requires_grad_()

    enabled: list[bool] = []

    def learned(images: Tensor) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        return (images.flatten(1) @ weight).softmax(1)

    probabilities = (IMAGES.flatten(1) @ weight).softmax(1)
    for gradient in (True, False):
        sensitivity = Sensitivity(2, 0.5, True, norm, gradient, images_per_pass=5)
        assert sensitivity(learned, IMAGES, probabilities).requires_grad is gradient
        assert torch.is_grad_enabled()
        with torch.no_grad():
            assert not sensitivity(learned, IMAGES, probabilities).requires_grad
    assert enabled == [True, True, False, False, False, False, False, False]


@pytest.mark.parametrize("norm", [True, False])
def test_the_gradient_passes_through_both_predictions(norm: bool) -> None:
    sensitivity, images = Sensitivity(3, 0.5, True, norm, True, images_per_pass=10), IMAGES.double()

    def total(weight: Tensor) -> Tensor:
        def learned(images: Tensor) -> Tensor:
            return (images.flatten(1) @ weight).softmax(1)

        torch.manual_seed(3)
        return sensitivity(learned, images, learned(images)).sum()

    weight = WEIGHT.double().requires_grad_()
    (gradient,) = torch.autograd.grad(total(weight), weight)
    for index in [(0, 0), (3, 2), (5, 3)]:
        step = torch.zeros_like(weight)
        step[index] = 1e-6
        difference = (total(weight.detach() + step) - total(weight.detach() - step)) / 2e-6
        assert gradient[index].item() == pytest.approx(difference.item(), rel=1e-5, abs=1e-8)

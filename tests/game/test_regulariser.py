import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.game.regulariser import NoRegulariser, contrastive, redundancy_reduction, vicreg
from dau_lightning.losses import redundancy_loss


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


FORGET, VAL, RETAIN = features(8, 5), features(8, 5, seed=1), features(12, 5, seed=2)


def reference_vicreg(forget: Tensor, val: Tensor) -> tuple[float, float, float]:
    """Invariance, variance and covariance term, entry by entry."""
    first, second = forget.double().numpy(), val.double().numpy()
    n, d = first.shape
    invariance = sum(float((a - b) ** 2) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)) / (
        n * d
    )
    variance = covariance = 0.0
    for z in (first, second):
        for i in range(d):
            variance += max(0.0, 1 - math.sqrt(((z[:, i] - z[:, i].mean()) ** 2).sum() / (n - 1) + 1e-4)) / d
            for j in range(d):
                if i != j:
                    c = ((z[:, i] - z[:, i].mean()) * (z[:, j] - z[:, j].mean())).sum() / (n - 1)
                    covariance += c**2 / d
    return invariance, variance, covariance


def reference_contrastive(forget: Tensor, val: Tensor, retain: Tensor, temperature: float) -> float:
    def cosine(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / math.sqrt((x @ x) * (y @ y)))

    total = 0.0
    negatives = retain.double().numpy()
    for anchor, positive in zip(forget.double().numpy(), val.double().numpy(), strict=True):
        near = math.exp(cosine(anchor, positive) / temperature)
        far = sum(math.exp(cosine(anchor, negative) / temperature) for negative in negatives)
        total -= math.log(near / (near + far)) / len(forget)
    return total


def test_no_regulariser_is_zero() -> None:
    assert NoRegulariser()(FORGET, VAL, RETAIN).item() == 0


def test_redundancy_reduction_is_equation_2() -> None:
    assert torch.equal(redundancy_reduction(FORGET, VAL, RETAIN, 0.3), redundancy_loss(FORGET, VAL, 0.3))


@pytest.mark.parametrize("scale", [0.3, 1.0])  # of 0.3, every feature is below the hinge
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (25.0, 25.0, 1.0)])
def test_vicreg_is_its_formula(weights: tuple[float, float, float], scale: float) -> None:
    forget, val = scale * FORGET, scale * VAL + 0.5
    expected = sum(weight * term for weight, term in zip(weights, reference_vicreg(forget, val), strict=True))
    assert vicreg(forget, val, RETAIN, *weights).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_vicreg_of_one_feature_and_of_a_constant_one() -> None:
    forget, val = FORGET[:, :1], torch.ones(8, 1, requires_grad=True)
    expected = sum(reference_vicreg(forget, val.detach()))
    loss = vicreg(forget, val, RETAIN, 1.0, 1.0, 1.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert val.grad is not None
    assert val.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrastive_is_its_formula(temperature: float) -> None:
    expected = reference_contrastive(FORGET, VAL, RETAIN, temperature)
    assert contrastive(FORGET, VAL, RETAIN, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_ignores_lengths_and_of_equal_cosines_says_the_number_of_samples() -> None:
    expected = contrastive(FORGET, VAL, RETAIN, 0.1)
    torch.testing.assert_close(contrastive(3 * FORGET, 0.1 * VAL, 7 * RETAIN, 0.1), expected)
    same = torch.ones(4, 5)
    assert contrastive(same, same, torch.ones(12, 5), 0.1).item() == pytest.approx(math.log(13))


def test_contrastive_descent_draws_forget_to_val_and_away_from_retain() -> None:
    forget = FORGET.clone().requires_grad_()

    def cosines(features: Tensor) -> tuple[float, float]:
        features = torch.nn.functional.normalize(features, dim=1)
        val, retain = (torch.nn.functional.normalize(other, dim=1) for other in (VAL, RETAIN))
        return (features * val).sum(1).mean().item(), (features @ retain.T).mean().item()

    before = cosines(forget.detach())
    for _ in range(20):
        (slope,) = torch.autograd.grad(contrastive(forget, VAL, RETAIN, 1.0), forget)
        forget = (forget - slope).detach().requires_grad_()
    near, far = cosines(forget.detach())
    assert near > before[0]
    assert far < before[1]


@pytest.mark.parametrize("regulariser", [lambda *f: vicreg(*f, 25.0, 25.0, 1.0), lambda *f: contrastive(*f, 0.1)])
def test_regularisers_compute_in_float32(regulariser) -> None:
    given = [part.bfloat16() for part in (FORGET, VAL, RETAIN)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = regulariser(*given)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, regulariser(*(part.float() for part in given)))

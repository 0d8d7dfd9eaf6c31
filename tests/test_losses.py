import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.losses import attacker_loss, defender_adversarial_loss, redundancy_loss


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def reference_game(forget: Tensor, val: Tensor) -> float:
    """`L_A` of Eq. 1 with probabilities."""
    member_forget, member_val = (1 / (1 + np.exp(-logits.double().numpy())) for logits in (forget, val))
    return float(np.log(member_forget).mean() + np.log(1 - member_val).mean())


def reference_redundancy(forget: Tensor, val: Tensor, weight: float) -> float:
    """Eq. 2, one entry of C after the other; a column without variance correlates with nothing."""
    first, second = forget.double().numpy(), val.double().numpy()
    first, second = first - first.mean(0), second - second.mean(0)
    total = 0.0
    for i in range(first.shape[1]):
        for j in range(second.shape[1]):
            lengths = math.sqrt((first[:, i] ** 2).sum()) * math.sqrt((second[:, j] ** 2).sum())
            correlation = (first[:, i] * second[:, j]).sum() / lengths if lengths > 1e-9 else 0.0
            total += (1 - correlation) ** 2 if i == j else weight * correlation**2
    return total


def test_attacker_loss_is_minus_the_game() -> None:
    forget, val = 3 * rows(7), 3 * rows(5, seed=1)
    torch.testing.assert_close(attacker_loss(forget, val).item(), -reference_game(forget, val), rtol=1e-5, atol=0)


def test_saturating_defender_minimises_the_game() -> None:
    forget, val = 3 * rows(7), 3 * rows(5, seed=1)
    loss = defender_adversarial_loss(forget, val, saturating=True)
    torch.testing.assert_close(loss.item(), reference_game(forget, val), rtol=1e-5, atol=0)


def test_non_saturating_defender_exchanges_the_labels() -> None:
    forget, val = 3 * rows(7), 3 * rows(5, seed=1)
    member_forget, member_val = (1 / (1 + np.exp(-logits.double().numpy())) for logits in (forget, val))
    expected = -np.log(1 - member_forget).mean() - np.log(member_val).mean()
    loss = defender_adversarial_loss(forget, val, saturating=False)
    torch.testing.assert_close(loss.item(), float(expected), rtol=1e-5, atol=0)


def test_value_at_the_end_of_the_game() -> None:
    zeros = torch.zeros(6), torch.zeros(4)
    assert attacker_loss(*zeros).item() == pytest.approx(2 * math.log(2))
    assert defender_adversarial_loss(*zeros, saturating=True).item() == pytest.approx(-2 * math.log(2))
    assert defender_adversarial_loss(*zeros, saturating=False).item() == pytest.approx(2 * math.log(2))


def test_attacker_descent_raises_forget_and_lowers_val() -> None:
    forget, val = (3 * rows(6, seed=seed).requires_grad_() for seed in (0, 1))
    forget_gradient, val_gradient = torch.autograd.grad(attacker_loss(forget, val), (forget, val))
    assert (forget_gradient < 0).all()
    assert (val_gradient > 0).all()


@pytest.mark.parametrize("saturating", [True, False])
def test_defender_descent_lowers_forget_and_raises_val(saturating: bool) -> None:
    forget, val = (3 * rows(6, seed=seed).requires_grad_() for seed in (0, 1))
    loss = defender_adversarial_loss(forget, val, saturating)
    forget_gradient, val_gradient = torch.autograd.grad(loss, (forget, val))
    assert (forget_gradient > 0).all()
    assert (val_gradient < 0).all()


def test_only_the_saturating_gradient_vanishes_where_the_attacker_is_sure() -> None:
    gradients = {}
    for saturating in (True, False):
        forget = torch.tensor([12.0], requires_grad=True)
        (gradients[saturating],) = torch.autograd.grad(defender_adversarial_loss(forget, torch.zeros(1), saturating), forget)
    assert gradients[True].item() < 1e-4
    assert gradients[False].item() > 0.99


def test_extreme_logits_are_finite() -> None:
    wrong = torch.tensor([-1000.0]), torch.tensor([1000.0])
    assert attacker_loss(*wrong).item() == 2000
    assert defender_adversarial_loss(*wrong, saturating=True).item() == -2000
    assert defender_adversarial_loss(*wrong, saturating=False).item() == 0


@pytest.mark.parametrize("weight", [0.0, 5e-3, 1.0])
def test_redundancy_is_equation_2(weight: float) -> None:
    forget, val = rows(16, 5), rows(16, 5, seed=1) + 0.5 * rows(16, 5)
    expected = reference_redundancy(forget, val, weight)
    torch.testing.assert_close(redundancy_loss(forget, val, weight).item(), expected, rtol=1e-5, atol=0)


def test_redundancy_is_zero_for_identical_uncorrelated_features() -> None:
    features = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).float()
    assert redundancy_loss(features, features, 1.0).item() == pytest.approx(0, abs=1e-10)


def test_redundancy_is_the_off_diagonal_for_identical_correlated_features() -> None:
    column = rows(8, 1)
    features = torch.cat([column, -2 * column, column + 1], 1)  # every |C_ij| is 1, C_12 and C_23 are -1
    assert redundancy_loss(column, column, 1.0).item() == pytest.approx(0, abs=1e-10)
    assert redundancy_loss(features, features, 0.25).item() == pytest.approx(6 * 0.25, rel=1e-5)


def test_redundancy_ignores_scale_shift_and_joint_order() -> None:
    forget, val = rows(16, 5), rows(16, 5, seed=1)
    expected = redundancy_loss(forget, val, 0.1)
    scale, order = torch.tensor([0.1, 1, 2, 10, 100]), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(redundancy_loss(forget * scale, 3 * val, 0.1), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(redundancy_loss(forget + scale, val - 7, 0.1), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(redundancy_loss(forget[order], val[order], 0.1), expected, rtol=1e-5, atol=0)
    assert abs(redundancy_loss(forget[order], val, 0.1) - expected) > 0.01


def test_redundancy_of_a_negative_scale_differs() -> None:
    features = rows(16, 5)
    assert redundancy_loss(features, -features, 0.0).item() == pytest.approx(5 * 4, rel=1e-5)


def test_redundancy_of_a_constant_column() -> None:
    forget, val = rows(8, 3), rows(8, 3, seed=1)
    forget[:, 1] = 0.3
    forget.requires_grad_()
    loss = redundancy_loss(forget, val, 0.1)
    assert loss.item() == pytest.approx(reference_redundancy(forget.detach(), val, 0.1), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, forget)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, [0, 2]] != 0).all()


def test_redundancy_of_constant_columns_whose_mean_is_rounded() -> None:
    forget, val = rows(36, 30), rows(36, 30, seed=1)
    forget[:, :20] = val[:, :20] = torch.linspace(0.1, 50, 20)
    assert redundancy_loss(forget, val, 0.1).item() == pytest.approx(reference_redundancy(forget, val, 0.1), rel=1e-4)


def test_redundancy_gradient_matches_finite_differences() -> None:
    forget, val = rows(6, 3), rows(6, 3, seed=1)
    leaf = forget.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(redundancy_loss(leaf, val, 0.1), leaf)
    for index in [(0, 0), (3, 1), (5, 2)]:
        step = torch.zeros_like(forget, dtype=torch.float64)
        step[index] = 1e-5
        above, below = (reference_redundancy(forget.double() + sign * step, val, 0.1) for sign in (1, -1))
        assert gradient[index].item() == pytest.approx((above - below) / 2e-5, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("shape", [(7, 3), (8, 4)])
def test_redundancy_refuses_other_shapes(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"\(8, 3\).*\(\d, \d\)"):
        redundancy_loss(torch.zeros(8, 3), torch.zeros(shape), 0.1)


def test_redundancy_computes_in_float32() -> None:
    forget, val = rows(64, 5).bfloat16(), rows(64, 5, seed=1).bfloat16()
    loss = redundancy_loss(forget, val, 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference_redundancy(forget, val, 0.1), rel=1e-5)

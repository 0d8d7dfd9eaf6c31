from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.game.attacker import Attacker, Several, StatisticsAttacker
from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.penalty import dragan, interpolated, none, slope

WEIGHT = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])  # of prediction and of sensitivity


def inputs(count: int, seed: int = 0, sensitivity: bool = True) -> AttackerInputs:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(count, 3, generator=generator).softmax(1)
    noise = torch.rand(count, 3, generator=generator)
    return AttackerInputs(prediction, noise if sensitivity else torch.zeros(count, 3), torch.arange(count) % 3)


def linear(some: AttackerInputs) -> Tensor:
    return some.prediction @ WEIGHT[0] + some.sensitivity @ WEIGHT[1]


def cubic(some: AttackerInputs) -> Tensor:
    """Its slope depends on where it is taken; the target decides its sign."""
    return (some.targets - 1.0) * (some.prediction**3).sum(1) + (some.sensitivity**3).sum(1)


def cubic_penalty(prediction: Tensor, sensitivity: Tensor, targets: Tensor) -> float:
    first = 3 * (targets - 1.0).unsqueeze(1) * prediction**2
    lengths = torch.cat([first, 3 * sensitivity**2], 1).double().norm(dim=1)
    return float((lengths - 1).square().mean())


def test_none_is_zero_without_a_pass() -> None:
    def membership(some: AttackerInputs) -> Tensor:
        raise AssertionError("the attacker was called")

    assert none(membership, inputs(4), inputs(4)).item() == 0


def test_the_slope_of_a_linear_attacker_is_the_length_of_its_weights() -> None:
    torch.testing.assert_close(slope(linear, inputs(5)), WEIGHT.norm().expand(5, 1))


def test_an_input_that_is_the_same_in_all_samples_does_not_count() -> None:
    torch.testing.assert_close(slope(linear, inputs(5, sensitivity=False)), WEIGHT[0].norm().expand(5, 1))


def test_each_of_several_attackers_has_its_own_slope() -> None:
    both = slope(lambda some: torch.stack([linear(some), cubic(some)], 1), inputs(5))
    torch.testing.assert_close(both, torch.cat([slope(linear, inputs(5)), slope(cubic, inputs(5))], 1))


def test_the_slope_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    attacker = Attacker(3).double().eval()
    seen = AttackerInputs(*(column.double() for column in inputs(4)[:2]), inputs(4).targets)
    squares = torch.zeros(4, dtype=torch.float64)
    for index in range(2):
        for column in range(3):
            step = torch.zeros(4, 3, dtype=torch.float64)
            step[:, column] = 1e-6
            sides = [
                AttackerInputs(*(x + sign * step * (index == i) for i, x in enumerate(seen[:2])), seen.targets)
                for sign in (1, -1)
            ]
            with torch.no_grad():
                squares += ((attacker(*sides[0]) - attacker(*sides[1])) / 2e-6).square()
    torch.testing.assert_close(slope(lambda some: attacker(*some), seen)[:, 0], squares.sqrt(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("penalty", [partial(interpolated, weight=10.0), partial(dragan, weight=10.0, noise=0.5)])
def test_the_penalty_of_a_linear_attacker(penalty) -> None:
    assert penalty(linear, inputs(6), inputs(6, 1)).item() == pytest.approx(10 * (WEIGHT.norm().item() - 1) ** 2, rel=1e-5)


def test_interpolated_takes_points_between_the_pairs_with_forgets_target() -> None:
    forget, val = inputs(6), inputs(4, 1)  # the longer one is cut
    torch.manual_seed(3)
    found = interpolated(cubic, forget, val, 2.0).item()
    torch.manual_seed(3)
    share = torch.rand(4, 1)
    points = [share * x[:4] + (1 - share) * y for x, y in zip(forget[:2], val[:2], strict=True)]
    assert found == pytest.approx(2 * cubic_penalty(*points, forget.targets[:4]), rel=1e-5)


def test_dragan_takes_points_around_val() -> None:
    val = inputs(6, 1)
    torch.manual_seed(3)
    found = dragan(cubic, inputs(4), val, 2.0, noise=0.5).item()
    torch.manual_seed(3)
    points = [x + 0.5 * torch.from_numpy(x.numpy().std(0)) * torch.rand(6, 3) for x in val[:2]]
    assert found == pytest.approx(2 * cubic_penalty(*points, val.targets), rel=1e-5)


ATTACKERS = {
    "transformer": Attacker,
    "statistics": partial(StatisticsAttacker, attacker_input="probabilities", with_phi=True),
    "several": partial(
        Several,
        attackers={
            "transformer": Attacker,
            "statistics": partial(StatisticsAttacker, attacker_input="probabilities", with_phi=True),
        },
    ),
}


@pytest.mark.parametrize("make", ATTACKERS.values(), ids=ATTACKERS)
def test_an_attacker_descends_on_its_penalty(make) -> None:
    torch.manual_seed(0)
    attacker: nn.Module = make(3).eval()
    optimizer = torch.optim.Adam(attacker.parameters(), 1e-3)
    values = []
    for _ in range(15):
        torch.manual_seed(1)
        loss = interpolated(lambda some: attacker(*some), inputs(16), inputs(16, 1), 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.9 * values[0]


def test_the_penalty_gives_the_defender_no_gradient() -> None:
    forget = AttackerInputs(*(column.requires_grad_() for column in inputs(4)[:2]), inputs(4).targets)
    weight = torch.ones(3, requires_grad=True)
    loss = interpolated(lambda some: some.prediction**2 @ weight, forget, inputs(4, 1), 1.0)
    loss.backward()
    assert forget.prediction.grad is None
    assert weight.grad is not None


def test_an_attacker_without_slope_gets_a_finite_gradient() -> None:
    weight = torch.zeros(3, requires_grad=True)
    loss = interpolated(lambda some: some.prediction @ weight, inputs(4), inputs(4, 1), 10.0)
    loss.backward()
    assert loss.item() == pytest.approx(10, rel=1e-4)
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_certain_predictions_give_finite_slopes() -> None:
    certain = AttackerInputs(torch.eye(3), torch.zeros(3, 3), torch.tensor([0, 2, 2]))
    attacker = StatisticsAttacker(3, "probabilities", with_phi=True).eval()
    loss = interpolated(lambda some: attacker(*some), certain, certain, 10.0)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in attacker.parameters() if parameter.grad is not None)

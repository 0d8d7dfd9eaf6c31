import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.game.objective import MinMax, Objective, Wasserstein
from dau_lightning.losses import attacker_loss, defender_adversarial_loss


def logits(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("saturating", [True, False])
def test_min_max_is_the_functions(saturating: bool) -> None:
    forget, val = logits(7), logits(5, seed=1)
    game = MinMax(saturating)
    assert torch.equal(game.attacker_loss(forget, val), attacker_loss(forget, val))
    assert torch.equal(game.defender_loss(forget, val), defender_adversarial_loss(forget, val, saturating))


def test_wasserstein_is_a_difference_of_means() -> None:
    forget, val = logits(7), logits(5, seed=1)
    distance = forget.double().numpy().mean() - val.double().numpy().mean()
    assert Wasserstein().attacker_loss(forget, val).item() == pytest.approx(-distance, rel=1e-5)
    assert Wasserstein().defender_loss(forget, val).item() == pytest.approx(distance, rel=1e-5)


@pytest.mark.parametrize("game", [MinMax(True), MinMax(False), Wasserstein()])
def test_players_pull_in_opposite_directions(game: Objective) -> None:
    for loss, sign in ((game.attacker_loss, -1), (game.defender_loss, 1)):
        forget, val = (logits(6, seed=seed).requires_grad_() for seed in (0, 1))
        forget_slope, val_slope = torch.autograd.grad(loss(forget, val), (forget, val))
        assert (sign * forget_slope > 0).all()
        assert (sign * val_slope < 0).all()


@pytest.mark.parametrize("game", [MinMax(True), MinMax(False), Wasserstein()])
def test_the_loss_of_several_attackers_is_their_mean(game: Objective) -> None:
    forget, val = logits(7, 3), logits(5, 3, seed=1)
    for loss in (game.attacker_loss, game.defender_loss):
        single = [loss(*columns).item() for columns in zip(forget.T, val.T, strict=True)]
        assert loss(forget, val).item() == pytest.approx(sum(single) / 3, rel=1e-5)

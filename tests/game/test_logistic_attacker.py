from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.logistic_attacker import LogisticAttacker, logistic_regression, statistics
from dau_lightning.training.guard import Guard
from tests.whole_game import game, sensitivity


def attacker(num_classes: int = 3, **changes: Any) -> LogisticAttacker:
    settings: dict[str, Any] = {"forget_batch_size": 8, "val_batch_size": 8, "stored_batches": 2, "ridge": 1e-2}
    return LogisticAttacker(num_classes, **(settings | changes))


def inputs(count: int, seed: int, sure: float) -> tuple[Tensor, AttackerInputs]:
    """Logits that want a gradient and what the attacker sees of them; `sure` is added to the logit of the label."""
    torch.manual_seed(seed)
    targets = torch.randint(3, (count,))
    logits = (torch.randn(count, 3) + sure * torch.eye(3)[targets]).requires_grad_()
    return logits, AttackerInputs(logits.softmax(1), torch.zeros(count, 3), targets)


def none(loss: Tensor) -> None:
    raise AssertionError("there is nothing to descend on")


@pytest.mark.parametrize("distance", [0.5, 8.0])
def test_newton_finds_the_weights_of_scikit_learn(distance: float) -> None:
    torch.manual_seed(0)
    targets = torch.arange(60) % 2
    points = torch.cat([torch.randn(60, 2) + distance * targets.unsqueeze(1), torch.ones(60, 1)], 1).double()
    share = torch.rand(60).double() / 60
    peer = LogisticRegression(C=1 / (2 * 0.01), fit_intercept=False, tol=1e-10, max_iter=1000)
    peer.fit(points.numpy(), targets.numpy(), sample_weight=share.numpy())
    found = logistic_regression(points, targets.double(), share, 0.01)
    np.testing.assert_allclose(found.numpy(), peer.coef_[0], rtol=1e-5)


def test_the_defender_makes_forget_images_look_unseen() -> None:
    player = attacker()
    (logits, forget), (val_logits, val) = inputs(8, 0, 4.0), inputs(8, 1, 0.0)
    player.step(forget, val, none)
    loss = player.loss(forget, val)
    loss.backward()
    assert val_logits.grad is None
    assert logits.grad is not None
    own = logits.grad.gather(1, forget.targets.unsqueeze(1))
    assert (own > 0).float().mean() > 0.7  # to descend is to be less sure of the label
    with torch.no_grad():
        moved = AttackerInputs((logits - 0.1 * logits.grad).softmax(1), *forget[1:])
    assert player.loss(moved, val) < loss


def test_the_pool_holds_the_last_batches_of_both_parts() -> None:
    player = attacker()
    pairs = [(inputs(5, seed, 2.0)[1], inputs(8, seed + 9, 0.0)[1]) for seed in range(3)]
    losses = [float(player.step(*pair, none)) for pair in pairs]
    assert losses[0] < np.log(2)  # nats: chance
    for part, rows in enumerate((5, 8)):
        expected = torch.cat([statistics(pair[part]) for pair in pairs[1:]]).detach()
        torch.testing.assert_close(player.pool[part, :, :rows].flatten(0, 1), expected)
    assert player.pool[0, :, 5:].isnan().all()


def test_a_pool_with_room_is_no_error(tiny: Any) -> None:
    logistic = partial(LogisticAttacker, forget_batch_size=6, val_batch_size=6, stored_batches=9, ridge=1e-2)
    module = game(
        tiny.defender(), attacker=logistic, joint_batch="retain_forget", sensitivity=sensitivity(copies=0), visits_per_step=1
    )
    tiny.fit(module, Guard("DAU", tiny.folder / "good"))
    assert module.attacker.pool.isnan().any()

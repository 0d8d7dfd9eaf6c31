from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.mean_prediction import MeanPrediction
from tests.whole_game import changed, game, sensitivity, state


def inputs(count: int, seed: int) -> tuple[Tensor, AttackerInputs]:
    """Logits that want a gradient, and what the attacker sees of them."""
    torch.manual_seed(seed)
    logits, targets = (3 * torch.randn(count, 3)).requires_grad_(), torch.randint(3, (count,))
    return logits, AttackerInputs(logits.softmax(1), torch.zeros(count, 3), targets)


def none(loss: Tensor) -> None:
    raise AssertionError("there is nothing to descend on")


def test_the_loss_is_the_divergence_from_the_mean_of_the_last_batches() -> None:
    player, (logits, forget) = MeanPrediction(3, 8, 2), inputs(5, 0)
    batches = [inputs(6, seed)[1] for seed in (1, 2, 3)]
    for count, val in enumerate(batches, 1):
        found = float(player.step(forget, val, none))
        mean = torch.cat([batch.prediction for batch in batches[max(0, count - 2) : count]]).mean(0).detach().numpy()
        expected = sum(entropy(mean, prediction) for prediction in forget.prediction.detach().numpy()) / 8
        assert np.isclose(-found, expected, rtol=1e-5)
    player.loss(forget, batches[-1]).backward()
    assert logits.grad is not None
    pull = (forget.prediction.detach() - torch.from_numpy(mean)) / 8  # the gradient of a cross-entropy with soft labels
    torch.testing.assert_close(logits.grad, pull)


def test_a_prediction_of_zero_has_a_finite_gradient() -> None:
    player, (_, val) = MeanPrediction(3, 1, 1), inputs(6, 1)
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    forget = AttackerInputs(logits.softmax(1), torch.zeros(1, 3), torch.tensor([0]))
    player.step(forget, val, none)
    player.loss(forget, val).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_it_plays_in_the_game(tiny: Any) -> None:
    module = game(
        tiny.defender(),
        attacker=lambda num_classes: MeanPrediction(num_classes, 6, 4),
        joint_batch="retain_forget",
        sensitivity=sensitivity(copies=0),
    )
    before = state(module.defender)
    tiny.fit(module)
    assert changed(before, state(module.defender))
    assert not module.attacker.stored[-3:].isnan().any()  # three steps
    assert module.attacker.stored[0].isnan().all()

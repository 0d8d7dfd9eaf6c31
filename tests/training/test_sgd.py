from typing import Any

import lightning as L
import pytest
import torch

from dau_lightning.data.loader import Batch
from dau_lightning.training.schedule import rate_factor
from dau_lightning.training.sgd import SGDMethod
from tests.whole_game import state


class Rates(L.Callback):
    """The learning rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("schedule", "milestones"), [("constant", []), ("linear", []), ("one_cycle", []), ("step", [1, 3]), ("step", [2])]
)
def test_learning_rate_follows_the_schedule(tiny: Any, schedule: str, milestones: list[int]) -> None:
    watch = Rates()
    tiny.fit(tiny.module(schedule=schedule, milestones=milestones, epochs=4, lr=0.02), watch)
    expected = [0.02 * rate_factor(schedule, step / 12, [m / 4 for m in milestones]) for step in range(12)]
    assert watch.rates == pytest.approx(expected, rel=1e-12)


def test_a_milestone_is_the_epoch_whose_first_step_has_the_lower_rate(tiny: Any) -> None:
    watch = Rates()
    tiny.fit(tiny.module(schedule="step", milestones=[1, 3], epochs=4, lr=1.0), watch)
    assert watch.rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01], rel=1e-12)


def test_two_steps_of_adamw_are_those_of_the_formula(tiny: Any) -> None:
    """Loshchilov & Hutter 2019, algorithm 2: the decay is beside the gradient, and does not enter the moments."""
    module = tiny.module(lr=0.02, momentum=0.8, weight_decay=0.1)
    optimizer, weights = module.adamw(), [weight.detach().clone() for weight in module.defender.parameters()]
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step in (1, 2):
        for place, weight in enumerate(module.defender.parameters()):
            weight.grad = gradient = (place + 1) * step * torch.ones_like(weight)
            first[place] = 0.8 * first[place] + 0.2 * gradient
            second[place] = 0.999 * second[place] + 0.001 * gradient.square()
            moments = first[place] / (1 - 0.8**step), second[place] / (1 - 0.999**step)
            weights[place] = (1 - 0.02 * 0.1) * weights[place] - 0.02 * moments[0] / (moments[1].sqrt() + 1e-8)
        optimizer.step()
    for found, expected in zip(module.defender.parameters(), weights, strict=True):
        torch.testing.assert_close(found.detach(), expected)


def test_a_step_is_sgd_on_the_cross_entropy_of_the_part(tiny: Any) -> None:
    module = tiny.module(batch_size=36, epochs=2, lr=0.1, weight_decay=0.01)
    reference = tiny.defender()
    velocity = [torch.zeros_like(parameter) for parameter in reference.parameters()]
    batches: list[Batch] = []

    class Keep(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batches.append(batch["retain"])

    tiny.fit(module, Keep())
    for images, targets in batches:
        probabilities = reference.network(images).softmax(1)
        loss = -probabilities[torch.arange(36), targets].log().mean()
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        with torch.no_grad():
            for parameter, gradient, speed in zip(reference.parameters(), gradients, velocity, strict=True):
                speed.mul_(0.9).add_(gradient + 0.01 * parameter)
                parameter.sub_(0.1 * speed)
    assert len(batches) == 2
    torch.testing.assert_close(state(module.defender), state(reference), rtol=1e-4, atol=1e-6)


def test_batch_norm_drifts_to_the_part(tiny: Any) -> None:
    module = tiny.module(batch_size=36, epochs=1)
    tiny.fit(module)
    assert module.defender.network[0][1].num_batches_tracked == 1
    assert module.batch_sizes == {"retain": 36}


def test_another_part_is_trained_by_another_class_attribute(tiny: Any) -> None:
    class OnForget(SGDMethod):
        part = "forget"

    assert set(tiny.seen(OnForget)) == set(range(36, 48))

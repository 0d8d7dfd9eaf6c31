import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.randomness import reseed
from dau_lightning.baseline.lotus import LoTUS
from tests.one_step import FULL, assert_equal, inputs

SETTINGS = FULL | {"momentum": 0.9, "retain_share": 1.0, "lr": 0.01, "batch_norm": "batch", "alpha": 2.0}


def accuracy(tiny: Any, network: Any, part: str) -> float:
    images, targets = inputs(tiny, part)
    return float((network(images)[0].argmax(1) == targets).float().mean())


def gumbel(like: Tensor) -> Tensor:
    """`-log(-log u)`, as `-log` of an exponential draw."""
    return -torch.empty_like(like).exponential_().log()


def test_a_step_is_adam_on_the_formula(tiny: Any) -> None:
    trained = tiny.module(epochs=4)
    tiny.fit(trained)
    original, student = copy.deepcopy(trained.defender).eval(), copy.deepcopy(trained.defender)
    module, batches = tiny.module(LoTUS, **SETTINGS, defender=trained.defender), list[Any]()
    module.on_train_batch_end = lambda _, batch, __: batches.append(batch)  # type: ignore[method-assign]
    tiny.fit(module)
    forget, retain = (batches[0][part].images for part in ("forget", "retain"))
    temperature = math.exp(2.0 * (accuracy(tiny, original, "forget") - accuracy(tiny, original, "val")))
    assert temperature > 1.1
    reseed(0, "unlearning", 0, 0)
    soft, hard = original(forget)[0].detach(), original(retain)[0].detach()
    soft = ((soft + gumbel(soft)) / temperature).softmax(1)
    hard = torch.nn.functional.one_hot((hard + gumbel(hard)).argmax(1), 3).float()
    loss = -(torch.cat([soft, hard]) * student(torch.cat([forget, retain]))[0].log_softmax(1)).sum() / 48  # one batch
    parameters = list(student.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    found = module.defender.parameters()
    for weight, gradient, after in zip(parameters, gradients, found, strict=True):
        clear = gradient.abs() > 1e-6  # elsewhere the sign of Adam's first step is rounding
        assert_equal([after[clear]], [(weight - 0.01 * gradient / (gradient.abs() + 1e-8))[clear]])


@pytest.mark.parametrize(
    ("accuracies", "epochs"),
    [([0.9, 0.8, 0.6], 2), ([0.9, 0.7, 0.7, 0.7], 4), ([0.9, 0.69, 0.69, 0.69], 4), ([0.9, 0.68, 0.68], 1), ([0.5, 0.1], 1)],
)
def test_it_stops_once_the_forget_set_is_known_no_better_than_unseen_images(
    tiny: Any, accuracies: list[float], epochs: int
) -> None:
    rest, temperatures = [0.695, *accuracies, *accuracies[-1:]], list[float]()  # of D_v first

    class Watched(LoTUS):
        def _accuracy(self, part: str) -> float:
            return rest.pop(0)

        def log_values(self, **values: Any) -> None:
            temperatures.extend(value for name, value in values.items() if name == "temperature")

    tiny.fit(tiny.module(Watched, **SETTINGS | {"epochs": 4}))
    assert temperatures == pytest.approx([math.exp(2 * (each - 0.695)) for each in accuracies[:epochs]])


def test_an_epoch_visits_the_share_of_the_retain_set(tiny: Any) -> None:
    seen = tiny.seen(lambda **settings: LoTUS(**settings, alpha=2.0, retain_share=0.33, forget_batch_size=12))
    assert len([number for number in seen if number < 36]) == 12  # a batch
    assert {number for number in seen if 36 <= number < 100} == set(range(36, 48))  # from 100 on: those of D_v


def test_forgotten_classes_are_to_have_no_accuracy_left(tiny: Any) -> None:
    split = tiny.split()
    kept = (split.retain.targets > 0).nonzero().flatten()
    gone = (split.forget.targets == 0).nonzero().flatten()
    object.__setattr__(split, "retain", split.retain[kept])
    object.__setattr__(split, "forget", split.forget[gone])
    module = tiny.module(LoTUS, **SETTINGS | {"batch_size": 8, "forget_batch_size": 4})
    tiny.fit(module, split=split)
    assert module.memory["unseen"] == 0

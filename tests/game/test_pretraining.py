import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError, TrainingError
from dau_lightning.base.randomness import key
from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.transform import Transform
from dau_lightning.game.attacker_input import AttackerInputs, DefenderOutputs, Query, join
from dau_lightning.game.pretraining import Pretraining
from dau_lightning.losses import attacker_loss
from dau_lightning.training.module import LOG_EVERY
from tests.game.fakes import AS_THEY_ARE, Stored, look, method, random_inputs
from tests.whole_game import sensitivity


def loss_of(logits: Callable[[Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor] = attacker_loss) -> Any:
    """The loss of an attacker that sees predictions, both parts in one batch."""

    def of_inputs(members: AttackerInputs, nonmembers: AttackerInputs) -> Tensor:
        return loss(*logits(join(members, nonmembers).prediction).split([len(members.targets), len(nonmembers.targets)]))

    return of_inputs


# The inputs of whole parts


def test_stored_inputs_are_those_of_joint_batches_whatever_the_order_of_the_parts(tiny: Any) -> None:
    parts = {"members": tiny.images("retain", 30), "nonmembers": tiny.images("val", 8)}
    loader, query = JointLoader(parts, {"members": 6, "nonmembers": 6}, AS_THEY_ARE, seed=3), Pretraining(look, 0, 6, None)
    expected: list[list[AttackerInputs]] = [[], []]
    for step in range(5):
        batches = loader.batch("members", step), loader.batch("nonmembers", step)
        torch.manual_seed(key(3, "observation", step))
        for stored, outputs in zip(expected, look(None, *batches, "batch"), strict=True):
            stored.append(outputs.inputs)
    torch.manual_seed(99)  # what ran before must not matter
    members, nonmembers = query.inputs(method(seed=3), parts)
    swapped = query.inputs(method(seed=3), dict(reversed(parts.items())))
    for found, wanted in zip((members, nonmembers, *reversed(swapped)), [*expected, *expected], strict=True):
        assert all(torch.equal(*columns) for columns in zip(found, join(*wanted), strict=True))


def test_stored_inputs_carry_no_graph(tiny: Any) -> None:
    weight = torch.ones(3, requires_grad=True)

    def attached(*arguments: Any) -> list[DefenderOutputs]:
        outputs = look(*arguments)
        return [each._replace(inputs=each.inputs._replace(prediction=weight * each.inputs.prediction)) for each in outputs]

    parts = {"members": tiny.images("retain", 6), "nonmembers": tiny.images("val", 6)}
    stored = Pretraining(attached, 0, 3, None).inputs(method(), parts)
    assert not any(column.requires_grad for part in stored for column in part)


@pytest.mark.parametrize("batch_size", [6, 30])
def test_each_sample_of_the_larger_part_is_stored_once(tiny: Any, batch_size: int) -> None:
    numbered = tiny._numbered(tiny.images("retain", 30), 0)
    parts = {"members": numbered, "nonmembers": tiny.images("val", 8)}
    members, nonmembers = Pretraining(look, 0, batch_size, None).inputs(method(), parts)
    numbers = (255 * members.prediction[:, 0]).round().int()
    assert sorted(numbers.tolist()) == list(range(30))
    assert torch.equal(members.targets, numbers.long() % 3)
    assert len(nonmembers.targets) == 30


def test_another_epoch_has_other_batches(tiny: Any) -> None:
    parts = {"members": tiny.images("retain", 12), "nonmembers": tiny.images("val", 12)}
    augmented = method(transform=Transform(mean=(0.0,), std=(1.0,), crop_padding=1, flip=True))
    first, again, other = (Pretraining(look, 0, 6, None).inputs(augmented, parts, epoch)[0] for epoch in (0, 0, 1))
    assert torch.equal(first.prediction, again.prediction)
    assert not torch.equal(first.prediction, other.prediction)
    assert torch.equal(first.targets.sort().values, other.targets.sort().values)


@pytest.mark.parametrize(("batch_norm", "mode"), [("batch", "batch"), ("running", "running"), ("update", "batch")])
def test_the_defenders_statistics_take_in_no_test_image(tiny: Any, batch_norm: str, mode: str) -> None:
    modes = []

    def query(defender: Any, first: Batch, second: Batch, mode: str) -> list[DefenderOutputs]:
        modes.append(mode)
        return look(defender, first, second, mode)

    parts, module = {"members": tiny.images("retain", 6), "nonmembers": tiny.images("val", 6)}, method()
    module.batch_norm = batch_norm
    Pretraining(query, 0, 6, None).inputs(module, parts)
    assert modes == [mode]


def test_stored_inputs_are_made_uncompiled(tiny: Any) -> None:
    compiled: list[Any] = []
    module, parts = method(), {"members": tiny.images("retain", 6), "nonmembers": tiny.images("val", 6)}
    module.defender = tiny.defender()
    module.defender.compile(backend=lambda graph, _: compiled.append(graph) or graph.forward)
    Pretraining(Query(sensitivity(copies=0), "probabilities"), 0, 6, None).inputs(module, parts)
    assert not compiled


# The steps


def test_batches_hold_as_many_members_as_nonmembers_and_visit_each_equally_often() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, prediction: Tensor) -> Tensor:
            seen.append(prediction[:, 0])
            return prediction[:, 0] * self.weight

    seen: list[Tensor] = []
    scale, numbers = Scale(), torch.arange(12.0).unsqueeze(1).expand(-1, 3)
    members = AttackerInputs(numbers, numbers, torch.zeros(12, dtype=torch.int64))
    nonmembers = AttackerInputs(100 + numbers[:6], numbers[:6], torch.zeros(6, dtype=torch.int64))
    Stored(lambda _: (members, nonmembers), 6, 4, None)(method(scale), loss_of(scale))
    first, second = (torch.cat([batch[part] for batch in seen]) for part in (slice(0, 4), slice(4, 8)))
    assert [len(batch) for batch in seen] == [8] * 6
    assert sorted(first.tolist()) == sorted([*range(12), *range(12)])
    assert sorted(second.tolist()) == sorted([*range(100, 106)] * 4)
    assert float(scale.weight.detach()) < 0  # members have the smaller numbers


@pytest.mark.parametrize(("first", "epochs"), [(0, [0, 1, 2, 3]), (2, [0, 1, 2, 3]), (4, [1, 2, 3])])
def test_inputs_are_refreshed_at_the_same_steps_wherever_it_resumes(first: int, epochs: list[int]) -> None:
    asked: list[int] = []
    seen: list[float] = []
    layer = nn.Linear(3, 1)

    def make(epoch: int) -> tuple[AttackerInputs, AttackerInputs]:
        asked.append(epoch)
        constant = torch.full((8, 3), float(epoch))
        return AttackerInputs(constant, constant, torch.zeros(8, dtype=torch.int64)), random_inputs(8, -1.0, epoch)

    def logits(prediction: Tensor) -> Tensor:
        seen.append(float(prediction[0, 0]))
        return layer(prediction)[:, 0]

    Stored(make, 10, 4, 3)(method(layer, first=first), loss_of(logits))
    assert asked == epochs
    assert seen == [step // 3 for step in range(first, 10)]


def fit_layer(steps: int, loss: Callable[[Tensor, Tensor], Tensor] = attacker_loss) -> list[tuple[int, float]]:
    """The steps and losses that a linear attacker logs."""
    torch.manual_seed(0)
    layer, parts = nn.Linear(3, 1), (random_inputs(40, 1.0, 0), random_inputs(40, -1.0, 1))
    module = method(layer)
    Stored(lambda _: parts, steps, 8, None)(module, loss_of(lambda prediction: layer(prediction)[:, 0], loss))
    return module.logged


def test_every_fiftieth_step_and_the_last_are_logged() -> None:
    found = fit_layer(121)
    assert LOG_EVERY == 50
    assert [step for step, _ in found] == [0, 50, 100, 120]
    assert found[0][1] > 2 * found[-1][1]
    assert found == fit_layer(121)  # the same seed, the same attacker


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 7, 50, 120])
def test_the_first_step_whose_loss_is_not_finite_is_named(at: int, value: float) -> None:
    calls = iter(range(121))

    def loss(members: Tensor, nonmembers: Tensor) -> Tensor:
        return attacker_loss(members, nonmembers) + (value if next(calls) >= at else 0.0)

    with pytest.raises(TrainingError, match=r"attacker pre-training: the loss is (nan|inf) at step .*attacker_lr") as caught:
        fit_layer(121, loss)
    assert re.findall(r"at step (\d+)", str(caught.value)) == [str(at)]


def test_a_batch_that_the_devices_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"the pre-training batch size must be a multiple of trainer\.devices=4, got 6"):
        Pretraining(look, 1, 6, None).check(4)
    Pretraining(look, 0, 6, None).check(4)  # no step, no batch

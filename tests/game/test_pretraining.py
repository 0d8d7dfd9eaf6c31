import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import TrainingError
from dau_lightning.base.randomness import key
from dau_lightning.data.loader import JointLoader
from dau_lightning.data.transform import Transform
from dau_lightning.game.attacker import Attacker
from dau_lightning.game.attacker_input import AttackerInputs, join
from dau_lightning.game.pretraining import Loss, balanced_accuracy, observe_all, observe_parts, outputs, pretrain
from dau_lightning.losses import attacker_loss
from dau_lightning.training.module import LOG_EVERY

AS_THEY_ARE = Transform(mean=(0.0,), std=(1.0,), crop_padding=0, flip=False)


def look(images: Tensor, targets: Tensor) -> AttackerInputs:
    """AttackerInputs that depend on the whole joint batch, as with batch-norm, and on noise, as the sensitivity does."""
    pixels = images.flatten(1)[:, :3]
    return AttackerInputs(pixels, pixels - pixels.mean(0) + torch.randn_like(pixels), targets)


def rows(count: int, shift: float, seed: int) -> AttackerInputs:
    """Predictions around a shift, on either side of 0."""
    generator = torch.Generator().manual_seed(seed)
    prediction = shift + torch.randn(count, 3, generator=generator)
    return AttackerInputs(prediction, torch.rand(count, 3, generator=generator), torch.arange(count) % 3)


def game(judge: Callable[..., Tensor], loss: Callable[[Tensor, Tensor], Tensor] = attacker_loss) -> Loss:
    """A loss of rows: an attacker's on the rows of both parts, judged as one batch."""

    def of_rows(members: AttackerInputs, nonmembers: AttackerInputs) -> Tensor:
        membership = judge(*join(members, nonmembers))
        return loss(membership[: len(members.targets)], membership[len(members.targets) :])

    return of_rows


def fit(
    members: AttackerInputs, nonmembers: AttackerInputs, steps: int, record: Callable[[int, float], None] = lambda *_: None
) -> Attacker:
    torch.manual_seed(0)
    attacker = Attacker(3)
    optimizer = torch.optim.Adam(attacker.parameters(), 1e-3)
    pretrain(optimizer, game(attacker), lambda _: (members, nonmembers), None, range(steps), 16, 0, record)
    return attacker


def accuracy(attacker: Attacker, *parts: AttackerInputs) -> float:
    return balanced_accuracy(*(outputs(attacker, lambda seen: attacker(*seen), part) for part in parts))


# Observing parts


def test_stored_rows_are_those_that_observing_gives(tiny: Any) -> None:
    parts = {"members": tiny.images("retain", 30), "nonmembers": tiny.images("val", 8)}
    loader = JointLoader(parts, {"members": 6, "nonmembers": 4}, AS_THEY_ARE, seed=3)
    torch.manual_seed(99)  # what ran before must not matter
    members, nonmembers = observe_all(look, loader)
    expected: list[list[AttackerInputs]] = [[], []]
    for step in range(5):
        member, nonmember = loader.batch("members", step), loader.batch("nonmembers", step)
        torch.manual_seed(key(3, "observation", step))
        seen = look(torch.cat([member.images, nonmember.images]), torch.cat([member.targets, nonmember.targets]))
        expected[0].append(seen.at(slice(0, 6)))
        expected[1].append(seen.at(slice(6, 10)))
    for found, wanted in zip((members, nonmembers), expected, strict=True):
        assert all(torch.equal(*columns) for columns in zip(found, join(*wanted), strict=True))


def test_stored_rows_carry_no_graph(tiny: Any) -> None:
    parts = {"members": tiny.images("retain", 6), "nonmembers": tiny.images("val", 6)}
    weight = torch.ones(3, requires_grad=True)
    loader = JointLoader(parts, {"members": 3, "nonmembers": 3}, AS_THEY_ARE, seed=0)
    stored = observe_all(
        lambda images, targets: AttackerInputs(*(weight * column for column in look(images, targets)[:2]), targets), loader
    )
    assert not any(column.requires_grad for part in stored for column in part)


@pytest.mark.parametrize("batch_size", [6, 30])
def test_each_member_is_stored_once(tiny: Any, batch_size: int) -> None:
    numbered = tiny._numbered(tiny.images("retain", 30), 0)
    parts = {"members": numbered, "nonmembers": tiny.images("val", 8)}
    loader = JointLoader(parts, {"members": batch_size, "nonmembers": 4}, AS_THEY_ARE, seed=0)
    members, nonmembers = observe_all(look, loader)
    numbers = (255 * members.prediction[:, 0]).round().int()
    assert sorted(numbers.tolist()) == list(range(30))
    assert torch.equal(members.targets, numbers.long() % 3)
    assert len(nonmembers.targets) == 4 * len(loader)


# pretrain


def test_pretraining_tells_separable_rows_apart() -> None:
    attacker = fit(rows(200, 1.5, 0), rows(60, -1.5, 1), steps=80)
    assert accuracy(attacker, rows(300, 1.5, 2), rows(300, -1.5, 3)) > 95


def test_pretraining_finds_nothing_where_nothing_is() -> None:
    attacker = fit(rows(400, 0.0, 0), rows(400, 0.0, 1), steps=80)
    assert accuracy(attacker, rows(500, 0.0, 2), rows(500, 0.0, 3)) == pytest.approx(50, abs=6)


def test_batches_hold_as_many_members_as_nonmembers_and_visit_all_alike() -> None:
    class Judge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, prediction: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            seen.append(prediction[:, 0])
            return prediction[:, 0] * self.weight

    seen: list[Tensor] = []
    judge, numbers = Judge(), torch.arange(12.0).unsqueeze(1).expand(-1, 3)
    members = AttackerInputs(numbers, numbers, torch.zeros(12, dtype=torch.int64))
    nonmembers = AttackerInputs(100 + numbers[:6], numbers[:6], torch.zeros(6, dtype=torch.int64))
    optimizer = torch.optim.SGD(judge.parameters(), 0.1)
    pretrain(optimizer, game(judge), lambda _: (members, nonmembers), None, range(6), 4, 0, lambda *_: None)
    first, second = (torch.cat([batch[part] for batch in seen]) for part in (slice(0, 4), slice(4, 8)))
    assert [len(batch) for batch in seen] == [8] * 6
    assert sorted(first.tolist()) == sorted([*range(12), *range(12)])
    assert sorted(second.tolist()) == sorted([*range(100, 106)] * 4)
    assert float(judge.weight.detach()) < 0  # members have the smaller numbers


@pytest.mark.parametrize(("first", "epochs"), [(0, [0, 1, 2, 3]), (2, [0, 1, 2, 3]), (4, [1, 2, 3])])
def test_rows_are_refreshed_at_the_same_steps_wherever_it_starts(first: int, epochs: list[int]) -> None:
    asked: list[int] = []
    seen: list[float] = []
    layer = nn.Linear(3, 1)

    def observed(epoch: int) -> tuple[AttackerInputs, AttackerInputs]:
        asked.append(epoch)
        constant = torch.full((8, 3), float(epoch))
        return AttackerInputs(constant, constant, torch.zeros(8, dtype=torch.int64)), rows(8, -1.0, epoch)

    def judge(prediction: Tensor, *_: Tensor) -> Tensor:
        seen.append(float(prediction[0, 0]))
        return layer(prediction)[:, 0]

    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    pretrain(optimizer, game(judge), observed, 3, range(first, 10), 4, 0, lambda *_: None)
    assert asked == epochs
    assert seen == [step // 3 for step in range(first, 10)]


def test_another_epoch_is_observed_with_other_batches(tiny: Any) -> None:
    parts = {"members": tiny.images("retain", 12), "nonmembers": tiny.images("val", 12)}
    augmented = Transform(mean=(0.0,), std=(1.0,), crop_padding=1, flip=True)
    first, again, other = (observe_parts(look, parts, 6, augmented, 0, epoch)[0] for epoch in (0, 0, 1))
    assert torch.equal(first.prediction, again.prediction)
    assert not torch.equal(first.prediction, other.prediction)
    assert torch.equal(first.targets.sort().values, other.targets.sort().values)


def test_the_same_seed_gives_the_same_attacker() -> None:
    members, nonmembers = rows(40, 1.0, 0), rows(40, -1.0, 1)
    first, second = (fit(members, nonmembers, 3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_records_every_fiftieth_step_and_the_last() -> None:
    found: list[tuple[int, float]] = []
    layer = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    parts = rows(40, 1.0, 0), rows(40, -1.0, 1)
    judge = game(lambda prediction, *_: layer(prediction)[:, 0])
    pretrain(optimizer, judge, lambda _: parts, None, range(121), 8, 0, lambda *a: found.append(a))
    assert LOG_EVERY == 50
    assert [step for step, _ in found] == [0, 50, 100, 120]
    assert all(type(value) is float for _, value in found)
    assert found[0][1] > 2 * found[-1][1]


def test_rows_that_are_not_finite_stop_it() -> None:
    broken = AttackerInputs(torch.full((20, 3), float("nan")), torch.zeros(20, 3), torch.zeros(20, dtype=torch.int64))
    with pytest.raises(TrainingError, match=r"attacker pre-training: the loss is nan at step 0; .*attacker_lr"):
        fit(broken, rows(20, 0.0, 0), steps=3)


def break_at(at: int, value: float = float("nan")) -> int:
    """The step that the error names when the loss is not finite from a step on."""
    calls = iter(range(121))

    def loss(members: Tensor, nonmembers: Tensor) -> Tensor:
        return attacker_loss(members, nonmembers) + (value if next(calls) >= at else 0.0)

    layer = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    parts = rows(40, 1.0, 0), rows(40, -1.0, 1)
    judge = game(lambda prediction, *_: layer(prediction)[:, 0], loss)
    with pytest.raises(TrainingError) as caught:
        pretrain(optimizer, judge, lambda _: parts, None, range(121), 8, 0, lambda *_: None)
    return int(re.findall(r"at step (\d+)", str(caught.value))[0])


@pytest.mark.parametrize("at", [0, 50, 120])
def test_the_step_of_a_loss_that_is_not_finite_is_named(at: int) -> None:
    assert break_at(at) == at
    assert break_at(at, float("inf")) == at


def test_a_loss_that_stays_broken_is_found() -> None:
    assert break_at(7) >= 7
    assert break_at(101) >= 101


def test_the_first_step_that_is_not_finite_is_named() -> None:
    assert break_at(7) == 7


# outputs, balanced_accuracy


def test_outputs_of_many_classes_are_made_a_few_rows_at_a_time() -> None:
    attacker, classes, seen = Attacker(3000), 3000, list[int]()
    prediction = torch.randn(3, classes).softmax(1)
    some = AttackerInputs(prediction, torch.zeros(3, classes), torch.arange(3))

    def judge(rows: AttackerInputs) -> Tensor:
        seen.append(len(rows.targets))
        return rows.prediction[:, 0]

    assert torch.equal(outputs(attacker, judge, some), prediction[:, 0].sigmoid())
    assert seen == [1, 1, 1]


def test_outputs_are_probabilities_in_evaluation_mode() -> None:
    attacker = Attacker(3).train()
    seen = rows(9, 0.0, 0)
    before = {name: tensor.clone() for name, tensor in attacker.state_dict().items()}
    first, second = (outputs(attacker, lambda some: attacker(*some), seen) for _ in range(2))
    assert torch.equal(first, second)  # no dropout
    assert attacker.training
    assert not first.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in attacker.state_dict().items())
    attacker.eval()
    with torch.no_grad():
        torch.testing.assert_close(first, 1 / (1 + torch.exp(-attacker(*seen))))


@pytest.mark.parametrize(
    ("members", "nonmembers", "percent"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 100),
        ([0.1, 0.2], [0.9, 0.8, 0.7], 0),
        ([0.9, 0.8, 0.7, 0.2], [0.1, 0.6], 62.5),  # 3/4 and 1/2
        ([0.9] * 99 + [0.1], [0.6], 49.5),  # sizes do not weigh
        ([0.6, 0.6], [0.9, 0.9], 50),
        ([0.5, 0.5], [0.5], 0),  # undecided is no hit
    ],
)
def test_balanced_accuracy(members: list[float], nonmembers: list[float], percent: float) -> None:
    assert balanced_accuracy(torch.tensor(members), torch.tensor(nonmembers)) == pytest.approx(percent)


def test_outputs_of_several_attackers_are_their_mean() -> None:
    attacker, seen = Attacker(3), rows(9, 0.0, 0)
    both = outputs(attacker, lambda some: torch.stack([attacker(*some), 2 - attacker(*some)], 1), seen)
    first = outputs(attacker, lambda some: attacker(*some), seen)
    second = outputs(attacker, lambda some: 2 - attacker(*some), seen)
    torch.testing.assert_close(both, (first + second) / 2)

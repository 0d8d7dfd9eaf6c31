import torch

from dau_lightning.game.attacker_input import AttackerInputs, join


def rows(count: int) -> AttackerInputs:
    numbers = torch.arange(3.0 * count).view(count, 3)
    return AttackerInputs(numbers, -numbers, torch.arange(count) % 3)


def same(first: AttackerInputs, second: AttackerInputs) -> bool:
    return all(torch.equal(*columns) for columns in zip(first, second, strict=True))


def test_rows_at_split_and_join() -> None:
    whole = rows(7)
    parts = whole.at(slice(0, 3)), whole.at(torch.tensor([3, 4, 5, 6]))
    assert [len(part.targets) for part in parts] == [3, 4]
    assert all(same(*pair) for pair in zip(parts, whole.split([3, 4]), strict=True))
    assert same(join(*parts), whole)
    assert torch.equal(whole.at(torch.tensor([5, 0])).prediction, whole.prediction[[5, 0]])


def test_detached_rows_carry_no_graph() -> None:
    prediction, sensitivity, targets = rows(4)
    weight = torch.ones(3, requires_grad=True)
    seen = AttackerInputs(weight * prediction, weight * sensitivity, targets)
    assert not any(column.requires_grad for column in seen.detached())
    assert same(seen.detached(), rows(4))

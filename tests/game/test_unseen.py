from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dau_lightning.game.unseen import balanced_accuracy, fitted_and_unseen


@pytest.mark.parametrize("held_out", [0, 9])
def test_unseen_samples_are_neither_fitted_on_nor_forget_or_val_samples(tiny: Any, held_out: int) -> None:
    split = tiny.split(judge=held_out)
    data: Any = SimpleNamespace(split=split, part=lambda name: getattr(split, name))
    fitted, unseen = fitted_and_unseen(data, seed=0)
    members, nonmembers = (set(unseen[name].ids) for name in ("members", "nonmembers"))
    assert set(fitted.ids) == set(split.train.ids) - members
    assert set(split.forget.ids) < set(fitted.ids)
    assert members < set(split.retain.ids)
    assert len(members) == 1 + 36 // 10
    assert nonmembers == set((split.judge if held_out else split.test_retain).ids)
    again, other = (fitted_and_unseen(data, seed)[1]["members"].ids for seed in (0, 1))
    assert set(again) == members != set(other)


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

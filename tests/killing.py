"""Kills a training before a step, and trains as a run does, from a checkpoint if there is one."""

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from dau_lightning.training.module import UnlearningModule


class Killed(BaseException):
    """Ends a training at once."""


class Kill(L.Callback):
    """Raises `Killed` before a step, after its checkpoint is written; keeps the numbers of all steps before."""

    def __init__(self, step: int) -> None:
        self.step, self.steps = step, list[int]()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append(pl_module.step)
        if pl_module.step == self.step:
            raise Killed


def fit(tiny: Any, module: UnlearningModule, *callbacks: L.Callback, seconds: float = 0) -> dict[str, Tensor]:
    training = tiny.training(checkpoint_seconds=seconds)
    training.fit(module, tiny.split(), tiny.folder / "it.checkpoint", {"who": module.label}, callbacks)
    (tiny.folder / "it.checkpoint").unlink(missing_ok=True)  # as the store does once it has the weights
    return module.state_dict()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def killed_before_each_step(
    tiny: Any, make: Callable[[], UnlearningModule], steps: Sequence[int], rest: Sequence[int], expected: dict[str, Tensor]
) -> UnlearningModule:
    """Train with a kill before each of the steps, each time from the last checkpoint; then to the end, which is the rest."""
    taken: list[int] = []
    for step in steps:
        kill = Kill(step)
        with pytest.raises(Killed):
            fit(tiny, make(), kill)
        assert kill.steps == [*taken, step]  # nothing is done twice
        taken = [step]
    module, end = make(), Kill(-1)
    assert equal(fit(tiny, module, end), expected)
    assert end.steps == [*rest]
    return module

"""Seconds that can be compared: the device synchronised, works by turns, medians."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import lightning as L
import torch

Work = Callable[[], object]


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def block(device: torch.device) -> int:
    """Steps to time as one, since in a run a GPU is told of the next ones while it works."""
    return 10 if device.type == "cuda" else 1


def alternate(works: Mapping[str, Work], device: torch.device, rounds: int = 5) -> dict[str, float]:
    """Median seconds of works, each done as often as `block` says before the device is synchronised; see `medians`."""

    def seconds(work: Work) -> float:
        start, times = now(device), block(device)
        for _ in range(times):
            work()
        return (now(device) - start) / times

    return medians({name: partial(seconds, work) for name, work in works.items()}, rounds)


def medians(works: Mapping[str, Callable[[], float]], rounds: int = 5) -> dict[str, float]:
    """Medians of what works give, done by turns, `rounds` times after one that is not counted.

    What else the machine does then falls on all of them alike: their ratios mean something where the seconds do not.
    """
    values: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            values[name].append(work())
    return {name: median(each[1:]) for name, each in values.items()}


class ByTurns(L.Callback):
    """Times blocks of steps of a training, everything between them included, and as much of another work after each.

    The device is synchronised at the end of a block alone.

    Args:
        other: a step of what it is compared with.
        blocks: that are counted; then the training stops.
        warm_up: steps before them, timed one by one and not counted.
        steps: of a block.
    """

    def __init__(self, other: Work, blocks: int, warm_up: int, steps: int = 1) -> None:
        self.other, self.blocks, self.warm_up, self.steps = other, blocks, warm_up, steps
        self.ours: list[float] = []  # seconds a step
        self.others: list[float] = []
        self.done = 0  # steps of the block

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Start with the first step, after whatever the method does before it."""
        if not hasattr(self, "mark"):
            self.mark = now(pl_module.device)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step of the training is over, all other callbacks have had their say: at the end of a block the other's turn."""
        self.done += 1
        steps = self.steps if len(self.ours) >= self.warm_up else 1
        if self.done < steps:
            return
        middle = now(pl_module.device)
        self.ours.append((middle - self.mark) / steps)
        for _ in range(steps):
            self.other()
        self.mark, self.done = now(pl_module.device), 0
        self.others.append((self.mark - middle) / steps)
        trainer.should_stop = len(self.ours) >= self.blocks + self.warm_up

    def medians(self) -> tuple[float, float]:
        """Seconds of a step of the training and of the other."""
        return median(self.ours[self.warm_up :]), median(self.others[self.warm_up :])

    def ratio(self) -> float:
        """The median of the blocks' own ratios: a disturbance hits both of a pair, or one pair."""
        pairs = zip(self.ours[self.warm_up :], self.others[self.warm_up :], strict=True)
        return median(ours / other for ours, other in pairs)

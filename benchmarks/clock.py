"""Seconds that can be compared: the device synchronised, works by turns, medians."""

import time
from collections.abc import Callable, Mapping
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


def alternate(works: Mapping[str, Work], device: torch.device, rounds: int = 5) -> dict[str, float]:
    """Median seconds of works done by turns, `rounds` times after one that is not counted.

    What else the machine does then falls on all of them alike: their ratios mean something where the seconds do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = now(device)
            work()
            if turn:
                seconds[name].append(now(device) - start)
    return {name: median(each) for name, each in seconds.items()}


class ByTurns(L.Callback):
    """Times the steps of a training, everything between them included, and another work after each step.

    Args:
        other: a step of what it is compared with.
        steps: that are counted, after `warm_up` others; then the training stops.
        warm_up: steps that are not counted.
    """

    def __init__(self, other: Work, steps: int, warm_up: int) -> None:
        self.other, self.steps, self.warm_up = other, steps, warm_up
        self.ours: list[float] = []
        self.others: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Start with the first step, after whatever the method does before it."""
        if not hasattr(self, "mark"):
            self.mark = now(pl_module.device)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step of the training is over, all other callbacks have had their say: the other's turn."""
        middle = now(pl_module.device)
        self.ours.append(middle - self.mark)
        self.other()
        self.mark = now(pl_module.device)
        self.others.append(self.mark - middle)
        trainer.should_stop = len(self.ours) >= self.steps + self.warm_up

    def medians(self) -> tuple[float, float]:
        """Seconds of a step of the training and of the other."""
        return median(self.ours[self.warm_up :]), median(self.others[self.warm_up :])

    def ratio(self) -> float:
        """The median of the steps' own ratios: a disturbance hits both of a pair, or one pair."""
        pairs = zip(self.ours[self.warm_up :], self.others[self.warm_up :], strict=True)
        return median(ours / other for ours, other in pairs)

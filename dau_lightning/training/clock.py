"""The run time of a method: the seconds of its training, without the time that compiling takes."""

import time
from typing import Any

import lightning as L
import torch

WARM_UP = 20  # first steps of a compiled network, in which torch compiles


class Clock(L.Callback):
    """Measures the seconds from the first to the last step, attacker pre-training included.

    The device is synchronised at both ends. A resumed training adds up the seconds of all its parts; steps that were
    repeated after a kill count once.

    Args:
        compiled: whether the network is compiled, which happens during the first `WARM_UP` steps of a process. Each of these
            steps then counts as the mean of the later ones; with fewer than `WARM_UP` later steps, all time counts.
    """

    seconds = 0.0

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled
        self.steps = 0  # taken by this process
        self.warm_from = self.warm_until = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.device = pl_module.device
        self.start = self.now(self.device) - self.seconds

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the time of the first step, and of the first one after the warm-up."""
        if self.compiled and self.steps in (0, WARM_UP):
            moment = self.now(self.device)
            self.warm_from, self.warm_until = (self.warm_from, moment) if self.steps else (moment, moment)
        self.steps += 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock; Lightning calls this before the module's own `on_train_end`."""
        self.seconds = self.now(self.device) - self.start - self._compiling()

    def _compiling(self) -> float:
        """Seconds by which the first steps took longer than the later ones."""
        later = self.steps - WARM_UP
        if not self.compiled or later < WARM_UP:
            return 0.0
        usual = (self.now(self.device) - self.warm_until) / later
        return max(0.0, self.warm_until - self.warm_from - WARM_UP * usual)

    def state_dict(self) -> dict[str, float]:
        """The seconds so far, for a checkpoint."""
        return {"seconds": self.now(self.device) - self.start - self._compiling()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Take over the seconds that a checkpoint holds."""
        self.seconds = state_dict["seconds"]

    @staticmethod
    def now(device: torch.device) -> float:
        """Wait until the device has finished its work, then read the clock, in seconds from an arbitrary zero."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

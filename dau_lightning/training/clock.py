"""The run time of a method: the seconds of its training, without the time that compiling takes."""

import time
from typing import Any

import lightning as L
import torch

WARM_UP = 20  # first steps of a compiled network, in which torch compiles


class Clock(L.Callback):
    """Seconds from the first to the last step, attacker pre-training included; the device is synchronised at both ends.

    The seconds of a resumed training are those of all its parts; work that was done twice counts once.

    Args:
        compiled: the network is compiled, which takes place in the first `WARM_UP` steps of a process. Each of them
            counts as long as the mean of the later steps; in a training with fewer later steps than that, everything counts.
    """

    seconds = 0.0

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled
        self.steps = 0  # of this process
        self.warm_from = self.warm_until = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.device = pl_module.device
        self.start = self.now(self.device) - self.seconds

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the time of the first step, and of the first one after the warm-up."""
        if self.compiled and self.steps in (0, WARM_UP):
            moment = self.now(self.device)
            self.warm_from, self.warm_until = (self.warm_from, moment) if self.steps else (moment, moment)
        self.steps += 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop; Lightning calls callbacks before it calls the module."""
        self.seconds = self.now(self.device) - self.start - self._compiling()

    def _compiling(self) -> float:
        """Seconds by which the first steps took longer than the later ones."""
        later = self.steps - WARM_UP
        if not self.compiled or later < WARM_UP:
            return 0.0
        usual = (self.now(self.device) - self.warm_until) / later
        return max(0.0, self.warm_until - self.warm_from - WARM_UP * usual)

    def state_dict(self) -> dict[str, float]:
        """The seconds until now."""
        return {"seconds": self.now(self.device) - self.start - self._compiling()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """The seconds of a checkpoint."""
        self.seconds = state_dict["seconds"]

    @staticmethod
    def now(device: torch.device) -> float:
        """Seconds since some moment, once the device has finished its work."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

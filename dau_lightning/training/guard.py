"""Stops a training that diverged unless its method can go on, and keeps the last weights that gave a finite loss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dau_lightning.base.devices import is_rank_zero
from dau_lightning.base.error import TrainingError
from dau_lightning.network.defender import finite
from dau_lightning.storage.atomic import atomic_write
from dau_lightning.training.module import LOG_EVERY


class Guard(L.Callback):
    """Stops a training whose loss is not finite, and leaves the last weights known to give a finite one.

    A method that can `recover` goes on. Losses are looked at every `LOG_EVERY` steps and at the end of each epoch, so that the
    device is not synchronised at every step.

    Args:
        phase: name of the training, for the error.
        path: file for the last good weights, safetensors.
    """

    def __init__(self, phase: str, path: Path) -> None:
        self.phase, self.path = phase, path
        self.losses: list[tuple[int, Tensor]] = []  # pairs of step and loss
        self.good: dict[str, Tensor] = {}
        self.candidate: dict[str, Tensor] = {}

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Copy the weights at the start of an interval; its first loss shows whether they are good."""
        if pl_module.step % LOG_EVERY == 0 or not self.candidate:
            network: nn.Module = pl_module.defender.network
            self.candidate = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect the loss, if the step has one; check all collected losses at the end of an interval."""
        step = pl_module.step
        if isinstance(outputs, Mapping) and "loss" in outputs:
            self.losses.append((step, outputs["loss"].detach()))
        if (step + 1) % LOG_EVERY == 0:
            self._look(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Check the losses of the epoch, before the method looks at what it has reached."""
        self._look(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Check the defender's weights after the last step."""
        if not finite(pl_module.defender):
            self._stop("the weights after the last step are not finite")

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Check all losses before a checkpoint is written, which therefore has none to keep."""
        self._look(pl_module)

    def _look(self, module: Any) -> None:
        if not self.losses:
            return
        are_finite = torch.isfinite(torch.stack([loss for _, loss in self.losses])).tolist()
        if are_finite[0]:
            self.good = self.candidate
        losses, self.losses = self.losses, []
        if not all(are_finite):
            step, loss = losses[are_finite.index(False)]
            reason = f"the loss is {float(loss)} at step {step}"
            if not module.recover(reason):
                self._stop(reason)
            self.candidate = {}  # of weights that the method has left

    def _stop(self, reason: str) -> None:
        if self.good and is_rank_zero():
            with atomic_write(self.path) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in self.good.items()}, temporary)
        left = f"the last good weights are in {self.path}" if self.good else "no weights gave a finite loss"
        raise TrainingError(f"{self.phase}: {reason}; {left}; try a smaller learning rate")

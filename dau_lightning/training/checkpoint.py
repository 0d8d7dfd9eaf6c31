"""Writes checkpoints of a training at intervals, from which a killed training is resumed and ends with the same bits.

Lightning's `ModelCheckpoint` does not fit: it saves after a step, when Lightning's loops still count the step as
unfinished, and it cannot save during the work before the first step.
"""

import io
import json
import os
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from dau_lightning.base.devices import broadcast, is_rank_zero, world_size
from dau_lightning.storage.atomic import atomic_write, set_aside
from dau_lightning.storage.seal import sha256

SEAL = 64  # bytes at the start of a file: the hex digits of a SHA-256
STRIDE = 10  # on several devices, steps between two looks at the clock: the first device has to send its time to the others


class SealedCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint with a SHA-256 in front.

    The hash covers the file and all settings and data that the training depends on. `torch.load` cannot read the file
    directly. Reading accepts tensors and plain values only, and refuses a file with code in it.

    Args:
        content: everything that the training depends on, in types that JSON has.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__()
        self.content = json.dumps(content, sort_keys=True)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        """Write a checkpoint, as a whole or not at all."""
        file = io.BytesIO()
        torch.save(checkpoint, file)
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(self._seal(file.getvalue()) + file.getvalue())

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint, on the CPU.

        Raises:
            ValueError: the file was altered, belongs to another training, or holds code.
        """
        data = Path(path).read_bytes()
        if data[:SEAL] != self._seal(data[SEAL:]):
            raise ValueError("its bytes changed, or it belongs to other data or settings")
        try:
            return torch.load(io.BytesIO(data[SEAL:]), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError("it holds more than tensors and plain values") from error

    def _seal(self, data: bytes) -> bytes:
        return sha256(self.content, b"\0", data).encode()


class CheckpointWriter(L.Callback):
    """Writes a checkpoint before a step if the last one is older than `seconds`, and when the module calls `save_checkpoint`.

    Before a step, all of Lightning's counters agree. A step depends only on its number and on the state in the checkpoint
    (weights, optimizer state, buffers, memory), so the checkpoint stores no random state.

    Args:
        path: the checkpoint file.
        content: everything that the training depends on, see `SealedCheckpointIO`.
        seconds: time between two checkpoints.
    """

    def __init__(self, path: Path, content: Mapping[str, Any], seconds: float) -> None:
        self.path, self.seconds, self.io = path, seconds, SealedCheckpointIO(content)
        self.written, self.asked = time.monotonic(), 0

    def usable_path(self) -> Path | None:
        """Return the path if it holds a checkpoint of this training, else None; rename a file that cannot be used."""
        return broadcast(self.path if is_rank_zero() and self._usable() else None)

    def _usable(self) -> bool:
        try:
            self.io.load_checkpoint(self.path)
        except FileNotFoundError:
            return False
        except ValueError as error:
            set_aside(self.path, error)
            return False
        return True

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Write a checkpoint before the step if the interval is over."""
        self.save_if_due(trainer)

    def save_if_due(self, trainer: L.Trainer) -> None:
        """Write a checkpoint if the interval is over. Several devices write together and check every `STRIDE` steps."""
        self.asked += 1
        if world_size() > 1 and self.asked % STRIDE:
            return
        if broadcast(time.monotonic() - self.written >= self.seconds):
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Write the metrics logged so far to the disk, then the checkpoint."""
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)
        self.written = time.monotonic()

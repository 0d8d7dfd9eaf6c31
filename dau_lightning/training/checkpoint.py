"""Where a training stands, written at intervals: a killed one goes on from there, and ends as if it had never been killed."""

import hashlib
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

SEAL = 32  # bytes
TOGETHER_EVERY = 1.0  # seconds


class Sealed(TorchCheckpointIO):
    """Lightning's checkpoints as files that begin with the SHA-256 of the rest and of all that the training depends on.

    They are read as tensors and plain values only: code in a file is refused.

    Args:
        content: all that the training depends on, as JSON can hold it.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__()
        self.content = json.dumps(content, sort_keys=True).encode()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        """Write it in one step."""
        file = io.BytesIO()
        torch.save(checkpoint, file)
        with atomic_write(Path(path)) as temporary:
            temporary.write_bytes(self._seal(file.getvalue()) + file.getvalue())

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Read it, on the CPU.

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
        return hashlib.sha256(self.content + b"\0" + data).digest()


class Checkpoint(L.Callback):
    """Writes a checkpoint before a step or at `save_checkpoint` of the module, once the last one is some seconds old.

    Before a step everything that Lightning counts is even, and a step is a function of its number: nothing else is kept.

    Args:
        path: of the file.
        content: see `Sealed`.
        seconds: between two checkpoints.
    """

    def __init__(self, path: Path, content: Mapping[str, Any], seconds: float) -> None:
        self.path, self.seconds, self.io = path, seconds, Sealed(content)
        self.written = self.asked = time.monotonic()
        self.stride = self.left = 1  # steps from one look at the clock to the next, and until then

    def found(self) -> Path | None:
        """The path, if a checkpoint of this training is there; a file that cannot be used is set aside."""
        return broadcast(self._found() if is_rank_zero() else None)

    def _found(self) -> Path | None:
        if not self.path.is_file():
            return None
        try:
            self.io.load_checkpoint(self.path)
        except ValueError as error:
            set_aside(self.path, error)
            return None
        return self.path

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Before the step."""
        self.save_if_due(trainer)

    def save_if_due(self, trainer: L.Trainer) -> None:
        """Write a checkpoint if the interval is over.

        Several devices, which have to write it together, look at the leader's clock about once a second.
        """
        self.left -= 1
        if world_size() > 1 and self.left:
            return
        now = time.monotonic()
        if world_size() > 1:
            self.stride = broadcast(self._stride(now))
            self.left, self.asked = self.stride, now
        if broadcast(now - self.written >= self.seconds):
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Write a checkpoint, after the rows that were logged until here."""
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)
        self.written = time.monotonic()

    def _stride(self, now: float) -> int:
        """As many steps as took a second of late, in no more than twice the last stride: the first steps are no measure."""
        return max(1, min(2 * self.stride, round(self.stride * TOGETHER_EVERY / max(now - self.asked, 1e-9))))

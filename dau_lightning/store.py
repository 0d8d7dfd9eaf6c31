"""Trained defenders by content: one training of an original or a Retrain serves every run that needs the same."""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dau_lightning.error import InputError

FORMAT = 1  # of the files; another number is another file name

# Raise it whenever the same settings train another network than before: a test trains the digits original and compares.
RECIPE_NUMBER = 1

BAD_FILE = (SafetensorError, ValueError, KeyError)


@dataclass(frozen=True)
class Entry:
    """Weights with what is known of them.

    Attributes:
        weights: the network's state dict.
        seconds: of its training.
        path: of the file.
    """

    weights: dict[str, Tensor]
    seconds: float
    path: Path


class Store:
    """A folder of safetensors files named `<kind>-<hash of the content>`; the content is all that an entry depends on.

    Args:
        root: the folder; made at the first entry.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_writable(self) -> None:
        """Raise an `InputError` where no entry could be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise InputError(f"store.root must be a folder that can be written, got {self.root}: {error.strerror}") from error

    def path(self, kind: str, content: Mapping[str, Any]) -> Path:
        """Where an entry stands or would stand."""
        described = json.dumps({**content, "recipe_number": RECIPE_NUMBER, "format": FORMAT}, sort_keys=True)
        return self.root / f"{kind}-{hashlib.sha256(described.encode()).hexdigest()[:12]}.safetensors"

    def get(self, kind: str, content: Mapping[str, Any]) -> Entry | None:
        """The entry, or None where there is none that can be used.

        A file that is truncated, altered or of other content is set aside as `*.bad` with a warning, never used.
        """
        path = self.path(kind, content)
        if not path.is_file():
            return None
        try:
            return _read(path, content)
        except (FileNotFoundError, *BAD_FILE):  # not found: set aside by another process just now
            with self._lock(path):
                return self._get_locked(path, content)

    def _lock(self, path: Path) -> FileLock:
        return FileLock(path.with_suffix(".lock"))

    def _get_locked(self, path: Path, content: Mapping[str, Any]) -> Entry | None:
        """The entry once more, now that no other process rebuilds it or sets it aside."""
        if not path.is_file():
            return None
        try:
            return _read(path, content)
        except BAD_FILE as error:
            aside = path.with_suffix(".bad")
            os.replace(path, aside)
            warnings.warn(f"store entry {path.name} cannot be used ({error}); it is set aside as {aside.name}", stacklevel=3)
            return None

    def get_or_train(
        self, kind: str, content: Mapping[str, Any], train: Callable[[], tuple[dict[str, Tensor], float]]
    ) -> tuple[Entry, bool]:
        """The entry, trained and stored first where it is missing. Of several processes one trains and the others wait.

        Args:
            kind: `original` or `retrain`.
            content: all that the entry depends on, as JSON can hold it.
            train: gives the weights and the seconds.

        Returns:
            The entry, and whether it was trained now.
        """
        if (entry := self.get(kind, content)) is not None:
            return entry, False
        path = self.path(kind, content)
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock(path):
            if (entry := self._get_locked(path, content)) is not None:
                return entry, False
            weights, seconds = train()
            _write(path, content, weights, seconds)
        return Entry(weights, seconds, path), True


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors: to a temporary name, flushed, renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary, dict(metadata))
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    result = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        result.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


def _write(path: Path, content: Mapping[str, Any], weights: Mapping[str, Tensor], seconds: float) -> None:
    about = {"content": json.dumps(content, sort_keys=True), "seconds": repr(seconds), "sha256": digest(weights)}
    save_weights(path, weights, about)


def _read(path: Path, content: Mapping[str, Any]) -> Entry:
    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    if json.loads(about["content"]) != json.loads(json.dumps(content)):
        raise ValueError("it belongs to other data or settings")
    if digest(weights) != about["sha256"]:
        raise ValueError("its bytes changed")
    return Entry(weights, float(about["seconds"]), path)

"""Trained defenders by content: one training of an original or a Retrain serves every run that needs the same."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, locked, set_aside

FORMAT = 2  # of the files; another number is another file name

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
        findings: of its training, numbers and where its seconds were measured.
    """

    weights: dict[str, Tensor]
    seconds: float
    path: Path
    findings: Mapping[str, Any] = field(default_factory=dict)


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
        return get(self.path(kind, content), content)

    def get_or_train(self, kind: str, content: Mapping[str, Any], train: "Train") -> tuple[Entry, bool]:
        """The entry of a kind (`original`, `retrain`, `mask`), see `get_or_train`."""
        return get_or_train(self.path(kind, content), content, train)


Train = Callable[[], tuple[dict[str, Tensor], float, Mapping[str, Any]]]  # gives weights, seconds and findings


def get(path: Path, content: Mapping[str, Any]) -> Entry | None:
    """The entry at a path, or None, see `Store.get`."""
    if not path.is_file():
        return None
    try:
        return _read(path, content)
    except (FileNotFoundError, *BAD_FILE):  # not found: set aside by another process just now
        with locked(path.with_suffix(".lock"), f"which looks at {path.name}"):
            return _get_locked(path, content)


def get_or_train(path: Path, content: Mapping[str, Any], train: Train) -> tuple[Entry, bool]:
    """The entry at a path, trained and stored first where it is missing. Of several processes one trains, the others wait.

    Args:
        path: of the file; what stands at `checkpoint(path)` is removed once it is written.
        content: all that the entry depends on, as JSON can hold it.
        train: trains it.

    Returns:
        The entry, and whether it was trained now.
    """
    if (entry := get(path, content)) is not None:
        return entry, False
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), f"which trains {path.name}"):
        if (entry := _get_locked(path, content)) is not None:
            return entry, False
        weights, seconds, findings = train()
        entry = Entry(weights, seconds, path, findings)
        _write(content, entry)
        checkpoint(path).unlink(missing_ok=True)
    return entry, True


def checkpoint(path: Path) -> Path:
    """Where the training of an entry leaves its checkpoints: who holds the entry's lock goes on from there."""
    return path.with_suffix(".checkpoint")


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, in one step."""
    with atomic_write(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary, dict(metadata))


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    result = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        result.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


def _get_locked(path: Path, content: Mapping[str, Any]) -> Entry | None:
    """The entry once more, now that no other process rebuilds it or sets it aside."""
    if not path.is_file():
        return None
    try:
        return _read(path, content)
    except BAD_FILE as error:
        set_aside(path, error)
        return None


def _write(content: Mapping[str, Any], entry: Entry) -> None:
    about = {"content": json.dumps(content, sort_keys=True), "file": entry.path.name, "version": _version()}
    about |= {"seconds": repr(entry.seconds), "findings": json.dumps(dict(entry.findings))}
    about |= {name: content[name] for name in ("data_hash", "split_hash") if name in content}
    save_weights(entry.path, entry.weights, about | {"sha256": _seal(about, entry.weights)})


def _seal(about: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of weights and of all that is said of them."""
    bare = {name: value for name, value in about.items() if name != "sha256"}
    return hashlib.sha256(json.dumps([bare, digest(weights)], sort_keys=True).encode()).hexdigest()


def _version() -> str:
    return f"format {FORMAT}, recipe {RECIPE_NUMBER}"


def _read(path: Path, content: Mapping[str, Any]) -> Entry:
    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    if about.get("version", _version()) != _version():  # files from before it was told bear it in their names alone
        raise ValueError(f"it is of another version ({about['version']})")
    if about.get("file", path.name) != path.name or json.loads(about["content"]) != json.loads(json.dumps(content)):
        raise ValueError("it belongs to other data or settings")
    if _seal(about, weights) != about["sha256"]:
        raise ValueError("its bytes changed")
    return Entry(weights, float(about["seconds"]), path, json.loads(about.get("findings", "{}")))

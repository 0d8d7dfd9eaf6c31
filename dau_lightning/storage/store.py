"""The store of trained weights: an original or a Retrain is trained once for all runs that need the same weights."""

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import locked, set_aside
from dau_lightning.storage.seal import load_tensors, save_tensors, sha256

# Raise it whenever a change of the code makes the same settings train other weights; a test that trains the digits original
# notices such a change. The number is part of every entry's name and content, so older entries are not used.
RECIPE_NUMBER = 2


@dataclass(frozen=True)
class Entry:
    """Trained weights and numbers about their training.

    Attributes:
        weights: the network's state dict, on the CPU.
        seconds: duration of the training.
        path: the entry's file.
        findings: numbers from the training, and the hardware on which `seconds` were measured.
    """

    weights: dict[str, Tensor]
    seconds: float
    path: Path
    findings: Mapping[str, Any]


Train = Callable[[], tuple[dict[str, Tensor], float, Mapping[str, Any]]]  # returns weights, seconds and findings


@dataclass(frozen=True)
class Store:
    """A folder of safetensors files named `<kind>-<hash of the content>`.

    The content is everything that an entry depends on, and nothing else, in types that JSON has.

    Attributes:
        root: the folder, created when the first entry is written.
    """

    root: Path

    def check_writable(self) -> None:
        """Raise an `InputError` if no entry can be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise InputError(f"store.root must be a folder that can be written, got {self.root}: {error.strerror}") from error

    def path(self, kind: str, content: Mapping[str, Any]) -> Path:
        """The file of an entry, whether it exists or not; `kind` says what it is, such as `original` or `mask`."""
        return self.root / f"{kind}-{sha256(_described(content))[:12]}.safetensors"


def get(path: Path, content: Mapping[str, Any]) -> Entry | None:
    """The entry at a path, or None if there is no usable one.

    A file that is truncated, altered or of other content is renamed to `<name>.bad`, with a warning.
    """
    if not path.is_file():
        return None
    with _locked(path):
        return _get_locked(path, content)


def get_or_train(path: Path, content: Mapping[str, Any], train: Train) -> tuple[Entry, bool]:
    """The entry at a path; if it is missing, train and write it first. Of several processes that need it, one trains.

    Args:
        path: the entry's file. While it trains, the training may keep a checkpoint at `resume_path(path)`.
        content: everything that the entry depends on, in types that JSON has.
        train: trains the network.

    Returns:
        The entry, and whether this call trained it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if (entry := _get_locked(path, content)) is not None:
            return entry, False
        weights, seconds, findings = train()
        entry = Entry(weights, seconds, path, findings)
        _write(content, entry)
        resume_path(path).unlink(missing_ok=True)
    return entry, True


def resume_path(path: Path) -> Path:
    """The path of the checkpoint from which a killed training of an entry is resumed."""
    return path.with_suffix(".checkpoint")


def _locked(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"), f"which trains or reads {path.name}")


def _get_locked(path: Path, content: Mapping[str, Any]) -> Entry | None:
    """The entry, or None. The caller must hold the lock, since a file that cannot be used is renamed."""
    try:
        return _read(path, content)
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None


def _described(content: Mapping[str, Any]) -> str:
    return json.dumps({**content, "recipe_number": RECIPE_NUMBER}, sort_keys=True)


def _write(content: Mapping[str, Any], entry: Entry) -> None:
    about = {"file": entry.path.name, "content": _described(content)}
    about |= {"seconds": repr(entry.seconds), "findings": json.dumps(dict(entry.findings))}
    about |= {name: content[name] for name in ("data_hash", "split_hash") if name in content}
    save_tensors(entry.path, entry.weights, about)


def _read(path: Path, content: Mapping[str, Any]) -> Entry:
    weights, about = load_tensors(path, "pt")
    if (about.get("file"), about.get("content")) != (path.name, _described(content)):
        raise ValueError("it belongs to other data, settings or another recipe number")
    return Entry(weights, float(about["seconds"]), path, json.loads(about["findings"]))

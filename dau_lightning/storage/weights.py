"""The weights that a run starts from: from a user's file, from an earlier run or from a model in memory."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file
from torch import nn

from dau_lightning.base.error import InputError, require
from dau_lightning.storage.checkpoint_form import StateDict, broken, find, state_dicts

NO_WEIGHTS = {b"version https://git-lfs": "it is a pointer of Git LFS: fetch the file with `git lfs pull`"}
NO_WEIGHTS |= dict.fromkeys((b"<!DOCTYPE", b"<!doctype", b"<html"), "it is a web page: download the file itself")
LEGACY = 4  # pickles at the beginning of a file of the format before torch 1.6, of which the fourth is the content


@dataclass(frozen=True)
class StartingWeights:
    """The weights from which a run starts, instead of training an original.

    Attributes:
        label: the name of their row in tables.
        source: where they come from, for errors and `result.json`.
        weights: state dicts, by their keys in the file; the key is empty for the only one.
        trained_on_all: whether they were trained on all of the training set, so that no part of it can be held out.
        key: the state dict to take, `original.key`; None for the one that fits the network.
    """

    label: str
    source: str
    weights: Mapping[str, StateDict]
    trained_on_all: bool
    key: str | None = None

    def load_into(self, network: nn.Module) -> str:
        """Load the weights into a network; return a line that says what was taken.

        Raises:
            InputError: names or shapes differ from the network's, or a weight is not finite.
        """
        match, line = find(self.weights, network.state_dict(), self.key, self.source, type(network).__name__)
        require(not (bad := broken(match)), f"{self.source} must hold finite weights, some are not: {', '.join(bad[:3])}")
        network.load_state_dict(match.tensors())
        return f"{self.source}: {line}"


def read_weights(path: str, key: str | None = None) -> StartingWeights:
    """The weights in a file of safetensors or of torch, in any of the forms of `checkpoint_form`.

    Raises:
        InputError: the file cannot be read without running code, or holds no state dict.
    """
    source = f"original.checkpoint={path}"
    found = state_dicts(_content(Path(path).expanduser(), source))
    require(bool(found), f"{source} must hold a state dict: save one with torch.save(model.state_dict(), FILE)")
    return StartingWeights("Original", source, found, trained_on_all=True, key=key)


class Inert:
    """Stands for any object but tensors and plain values, so that reading a file runs none of its code."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Ignore the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Ignore the content."""


class InertDict:
    """Stands for an object that is filled like a dict; torch's unpickler fills plain ones alone."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An empty dict."""
        return OrderedDict()


class InertList:
    """Stands for an object that is filled like a list."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An empty list."""
        return []


class Look(pickle.Unpickler):
    """Reads a pickle as inert objects alone, to see which classes and functions it names and how it fills their objects.

    Attributes:
        stand_ins: what stands for each of them, by full name.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="latin1")
        self.stand_ins: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> type:
        """A class whose objects note how they are filled."""
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        self.stand_ins.setdefault(full, Inert)

        def note(kind: type) -> Any:
            return lambda *_: self.stand_ins.update({full: kind})

        filled = {"__setitem__": note(InertDict), "append": note(InertList), "extend": note(InertList)}
        return type("Seen", (Inert,), filled | {"__call__": lambda seen, *_: seen})

    def persistent_load(self, pid: Any) -> None:
        """Leave out the numbers of a tensor."""


def _content(file: Path, source: str) -> Any:
    require(file.is_file(), f"{source} must be a file, there is none")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in _stand_ins(file).items()]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an unknown file can fail in any way
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "it is damaged, or only code can read it" if unsafe else str(error).strip()
        reason = (reason or type(error).__name__).splitlines()[0][:200]  # an empty file: an EOFError without text
        with open(file, "rb") as stream:
            start = stream.read(100).lstrip()
        reason = next((said for begin, said in NO_WEIGHTS.items() if start.startswith(begin)), reason)
        raise InputError(
            f"{source} must be safetensors or a state dict (torch.save(model.state_dict(), FILE)), it cannot be read: {reason}"
        ) from error


def _stand_ins(file: Path) -> dict[str, type]:
    """What stands for the classes and functions in a file, by full name; torch uses its own for those that it allows."""
    if zipfile.is_zipfile(file):
        # torch tells names by those of Python 3; a class whose name differs from them is not filled.
        found = dict.fromkeys(torch.serialization.get_unsafe_globals_in_checkpoint(file), Inert)
        with zipfile.ZipFile(file) as archive:
            looks = [Look(io.BytesIO(archive.read(name))) for name in archive.namelist() if name.endswith("/data.pkl")]
            for look in looks:
                look.load()
                found |= look.stand_ins
        return found
    with open(file, "rb") as stream:
        looks = [Look(stream) for _ in range(LEGACY)]
        for look in looks:
            look.load()
    return looks[-1].stand_ins

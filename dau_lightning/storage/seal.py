"""SHA-256 of texts, files and tensors, and files that carry it, so that reading them detects a changed byte.

Importing this file does not import torch: every decoding process imports it, and torch would cost each of them seconds.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from dau_lightning.storage.atomic import atomic_write, set_aside, write_text


def sha256(*parts: str | bytes | memoryview) -> str:
    """Hex digest of texts (as UTF-8) and bytes, joined together.

    >>> sha256("a", b"b") == sha256("ab")
    True
    """
    result = hashlib.sha256()
    for part in parts:
        result.update(part.encode(errors="surrogateescape") if isinstance(part, str) else part)
    return result.hexdigest()


def json_sha256(content: Any) -> str:
    """Hex digest of any value that JSON can hold; the order of keys does not matter."""
    return sha256(json.dumps(content, sort_keys=True))


def file_sha256(path: Path) -> str:
    """Hex digest of the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with its hash under `sha256`."""
    return {**content, "sha256": json_sha256(content)}


def unseal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file without its hash. A file without a hash, for example one written by hand, is accepted.

    Raises:
        ValueError: the content does not match the hash.
    """
    bare = {name: value for name, value in content.items() if name != "sha256"}
    if content.get("sha256", json_sha256(bare)) != json_sha256(bare):
        raise ValueError("its bytes changed")
    return bare


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with its hash, as a whole or not at all."""
    write_text(path, json.dumps(seal(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, needed: Collection[str]) -> dict[str, Any]:
    """The content of a file that `write_json` wrote, without its hash.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no JSON object, lacks a needed key, or does not match its hash.
    """
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    bare = unseal(content)
    if missing := [name for name in needed if name not in bare]:
        raise ValueError(f"{', '.join(missing)} missing")
    return bare


def usable_json(path: Path, needed: Collection[str]) -> dict[str, Any] | None:
    """As `read_json`; None if there is no file. A file that cannot be used is renamed, with a warning."""
    try:
        return read_json(path, needed)
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None


def tensors_digest(tensors: Mapping[str, Any]) -> str:
    """Hex digest of names, dtypes, shapes and bytes; torch tensors and numpy arrays of equal values have equal digests."""
    parts: list[str | bytes | memoryview] = []
    for name in sorted(tensors):
        dtype = str(tensors[name].dtype).removeprefix("torch.")
        header = f"{name} torch.{dtype} {tuple(tensors[name].shape)}\n"  # torch's dtype names, as in ledgers
        parts += [header, _bytes(_dense(tensors[name]))]
    return sha256(*parts)


def save_tensors(path: Path, tensors: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """Write torch tensors or numpy arrays as one safetensors file with a hash, as a whole or not at all.

    Args:
        path: the file.
        tensors: tensors by name, either all torch's or all numpy's.
        about: metadata; the hash covers it too.

    Raises:
        InputError: the file cannot be written.
    """
    if all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
        from safetensors.numpy import save_file
    else:
        from safetensors.torch import save_file
    dense: dict[str, Any] = {name: _dense(tensor) for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(dense, temporary, {**about, "sha256": _tensors_seal(dense, about)})


def load_tensors(path: Path, framework: Literal["pt", "numpy"]) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and metadata of a file that `save_tensors` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file, or its content does not match its hash.
    """
    try:
        with safe_open(path, framework) as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if about.pop("sha256", None) != _tensors_seal(tensors, about):
        raise ValueError("its bytes changed, or it was never sealed")
    return tensors, about


def _tensors_seal(tensors: Mapping[str, Any], about: Mapping[str, str]) -> str:
    return json_sha256([dict(about), tensors_digest(tensors)])


def _dense(tensor: Any) -> Any:
    """The tensor on the CPU and in row-major order, as safetensors requires."""
    return np.asarray(tensor, order="C") if isinstance(tensor, np.ndarray) else tensor.detach().cpu().contiguous()


def _bytes(tensor: Any) -> memoryview:
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1).view(np.uint8).data
    import torch

    return tensor.reshape(-1).view(torch.uint8).numpy().data

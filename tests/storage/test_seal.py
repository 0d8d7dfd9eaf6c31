import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from dau_lightning.base.error import InputError
from dau_lightning.storage.seal import (
    file_sha256,
    load_tensors,
    read_json,
    save_tensors,
    seal,
    sha256,
    tensors_digest,
    unseal,
    usable_json,
    write_json,
)

ARRAYS = {
    "weight": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
    "half": np.arange(5, dtype=np.float16),
    "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2),
    "count": np.array(7),
    "empty": np.zeros((0, 3), np.float32),
}
TENSORS = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
ABOUT = {"content": '{"seed": 0}', "path": "caf\u00e9"}


def test_hashes_are_those_of_hashlib(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some bytes")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"some bytes").hexdigest()
    name = os.fsdecode(b"caf\xe9")  # a file name that is no UTF-8
    assert sha256(name, b" and ", memoryview(b"more")) == hashlib.sha256(b"caf\xe9 and more").hexdigest()


def test_a_sealed_mapping_is_opened_unless_it_changed() -> None:
    content = {"rows": {"dau": {"UA": 1.5, "gaps": None}}, "name": "Ärger"}
    sealed = json.loads(json.dumps(seal(content)))
    assert unseal(sealed) == unseal(content) == content
    assert unseal(dict(reversed(sealed.items()))) == content
    with pytest.raises(ValueError, match="its bytes changed"):
        unseal({**sealed, "name": "another"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "not a JSON object"),
        ("{", "line 1"),
        ('{"rows": 1}', "settings missing"),
        (json.dumps(seal({"rows": 1, "settings": 2}) | {"rows": 3}), "its bytes changed"),
    ],
)
def test_a_sealed_file_that_cannot_be_used_is_set_aside(tmp_path: Path, text: str, reason: str) -> None:
    path, needed = tmp_path / "file.json", ("rows", "settings")
    with pytest.raises(FileNotFoundError):
        read_json(path, needed)
    assert usable_json(path, needed) is None
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_json(path, needed)
    with pytest.warns(UserWarning, match=reason):
        assert usable_json(path, needed) is None
    assert [file.name for file in tmp_path.iterdir()] == ["file.json.bad"]
    write_json(path, {"rows": 1, "settings": [None]})
    assert usable_json(path, needed) == read_json(path, needed) == {"rows": 1, "settings": [None]}


def test_the_digest_sees_name_type_shape_and_bytes() -> None:
    weight = TENSORS["weight"]
    variants = [TENSORS, TENSORS | {"half": TENSORS["half"].bfloat16()}, TENSORS | {"count": torch.tensor(8)}]
    variants += [TENSORS | {"weight": weight.view(4, 3)}, TENSORS | {"weight": weight.view(torch.int32)}]
    variants += [{("another" if name == "weight" else name): tensor for name, tensor in TENSORS.items()}]
    assert len({tensors_digest(variant) for variant in variants}) == len(variants)


def test_the_digest_sees_neither_order_nor_layout_nor_library() -> None:
    channels_last = TENSORS | {"images": TENSORS["images"].contiguous(memory_format=torch.channels_last)}
    transposed = ARRAYS | {"weight": np.asfortranarray(ARRAYS["weight"])}
    variants = [TENSORS, dict(reversed(TENSORS.items())), channels_last, ARRAYS, transposed]
    assert len({tensors_digest(variant) for variant in variants}) == 1


@pytest.mark.parametrize("written", [TENSORS, ARRAYS], ids=["torch", "numpy"])
@pytest.mark.parametrize("framework", ["pt", "numpy"])
def test_tensors_are_read_as_written(tmp_path: Path, written: dict[str, Any], framework: Any) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, written, ABOUT)
    tensors, about = load_tensors(path, framework)
    assert about == ABOUT
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        found = np.asarray(tensors[name])
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert (found == array).all()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_bfloat16_and_parameters_and_any_layout_can_be_written(tmp_path: Path) -> None:
    layer = torch.nn.Conv2d(3, 4, 3).bfloat16().to(memory_format=torch.channels_last)
    parameters = dict(layer.named_parameters()) | {"transposed": torch.ones(2, 3).t()}
    save_tensors(tmp_path / "file.safetensors", parameters, {})
    tensors, _ = load_tensors(tmp_path / "file.safetensors", "pt")
    assert all(torch.equal(tensors[name], parameter) for name, parameter in parameters.items())


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a file was unpickled",)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the numbers stand at the end
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"something else, and longer than a header"),
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes().replace(b"seed", b"deed")),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"U8"', b'"I8"')),
        lambda path: save_file(ARRAYS, path, ABOUT),
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
        lambda path: torch.save(TENSORS, path),
    ],
    ids=["truncated", "empty", "text", "number", "metadata", "type", "unsealed", "pickle", "torch"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "file.safetensors"
    save_tensors(path, ARRAYS, ABOUT)
    damage(path)
    with pytest.raises(ValueError, match=r"bytes changed|[hH]eader"):
        load_tensors(path, "numpy")


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "none.safetensors", "pt")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*none/file\.safetensors \(No such file or directory\)"):
        save_tensors(tmp_path / "none" / "file.safetensors", ARRAYS, {})

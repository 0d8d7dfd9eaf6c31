import argparse
import collections
import contextlib
import datetime
import enum
import functools
import os
import runpy
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.storage.weights import read_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


STATE = network().state_dict()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "optimizer": {"lr": 0.1}, "epoch": 3},
        {"model_state_dict": STATE},
        {"model": prefixed("module.")},
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
    ],
    ids=["alone", "state_dict", "model_state_dict", "parallel", "compiled", "both"],
)
def test_a_state_dict_is_found_where_training_scripts_leave_it(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "own.pt")
    loaded, starting = network(), read_weights(str(tmp_path / "own.pt"))
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    starting.load_into(loaded)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in STATE.items())
    assert starting.trained_on_all


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "own.safetensors")
    assert read_weights(str(tmp_path / "own.safetensors")).weights[""].keys() == STATE.keys()


@pytest.mark.parametrize("name", ["own.pt", "own.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS: fetch the file with"),
        ("\n<!DOCTYPE html><html>", "it is a web page: download the file itself"),
    ],
)
def test_what_a_download_left_in_place_of_the_file_is_told(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_weights(str(tmp_path / name))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"original\.checkpoint=.*none\.pt must be a file, there is none"):
        read_weights(str(tmp_path / "none.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": torch.zeros(3, 1, 3, 3)}, r"this Sequential: '0\.weight' is \(3, 1, 3, 3\), not \(2, 1, 3, 3\); choose"),
        ({f"more.{i}": torch.zeros(1) for i in range(99)}, r"'more\.0', 'more\.1', 'more\.2' \.\.\. \(99 in all\) not of the"),
        ({"0.bias": torch.tensor([float("nan"), 0])}, r"must hold finite weights, some are not: 0\.bias$"),
        ({"0.bias": None}, r"'0\.bias' missing; choose the network that the file was saved from"),
        ({"0.weight": torch.zeros(2, 3, 3, 3)}, r"\(2, 3, 3, 3\), not \(2, 1, 3, 3\); dataset\.channels=3 reads"),
        ({"1.running_mean": None}, r"'1\.running_mean' missing"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_difference(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    torch.save(STATE | change, tmp_path / "own.pt")
    with pytest.raises(InputError, match=message) as caught:
        read_weights(str(tmp_path / "own.pt")).load_into(network())
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    torch.save({"model": {"0.weight": STATE["0.weight"]}}, tmp_path / "own.pt")
    with pytest.raises(InputError, match=r"under 'model', '0\.bias', '1\.weight', '1\.bias' \.\.\. \(5 in all\) missing"):
        read_weights(str(tmp_path / "own.pt")).load_into(network())


@pytest.mark.parametrize("content", [3, [0.5], {"epoch": 3, "seconds": 1.0}, network()])
def test_a_file_without_a_state_dict_is_one_line(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "own.pt")
    with pytest.raises(InputError, match=r"must hold a state dict: save one with torch\.save"):
        read_weights(str(tmp_path / "own.pt"))


class Harmful:
    """An object whose reading would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


class Sly(Harmful):
    """One that hides the call behind a function of a package."""

    def __reduce__(self) -> Any:
        return runpy.run_path, ("harm.py",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [Harmful, Sly])
def test_reading_a_file_runs_none_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, kind: type
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(torch.serialization.get_safe_globals())
    Path("harm.py").write_text("open('harmed', 'w')")
    torch.save({"model": STATE, "args": kind()}, "own.pt", _use_new_zipfile_serialization=zipped)
    with contextlib.suppress(InputError):
        read_weights("own.pt")
    assert not Path("harmed").exists()
    assert set(torch.serialization.get_safe_globals()) == before


class Phase(enum.Enum):
    """As libraries keep one among their settings."""

    FIT = "fit"


class History(list[Any]):
    """A list of another type."""


class Table(dict[str, Any]):
    """A dict of another type, made with an argument."""

    def __reduce__(self) -> Any:
        return Table, ({"a": 1},), None, None, iter(self.items())


OBJECTS = {
    "lists": [History([{"loss": 0.5}, History([1])]), History([2]), History()],
    "dicts": [Table({"b": 2}), Table()],
    "namespace": argparse.Namespace(lr=0.1, root=PurePosixPath("data"), device=torch.device("cpu")),
    "numpy": [np.float64(91.2), np.int64(3), np.float32(1), np.bool_(True), np.zeros(3), np.str_("best")],
    "omegaconf": OmegaConf.create({"model": {"width": [1, 2]}}),
    "partial": functools.partial(torch.optim.Adam, lr=0.1),
    "collections": [collections.defaultdict(list, {"loss": [0.5]}), collections.deque([1, 2], maxlen=2), {1, 2}],
    "time": datetime.timedelta(seconds=3),
    "module": nn.Linear(2, 2),
    "enum": Phase.FIT,
}


OLD_FORMAT = [name for name in OBJECTS if name not in ("omegaconf", "module")]  # which need code in it


@pytest.mark.parametrize(("name", "zipped"), [*((name, True) for name in OBJECTS), *((name, False) for name in OLD_FORMAT)])
def test_objects_beside_the_weights_do_not_matter(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save({"args": OBJECTS[name], "model": STATE}, tmp_path / "own.pt", _use_new_zipfile_serialization=zipped)
    assert read_weights(str(tmp_path / "own.pt")).load_into(network()).endswith("7 tensors of model")

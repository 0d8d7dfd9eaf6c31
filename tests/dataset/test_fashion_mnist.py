import gzip
import hashlib
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import FashionMNIST

from dau_lightning.base.error import InputError
from dau_lightning.dataset import fashion_mnist as module
from dau_lightning.dataset.fashion_file import fashion_file
from dau_lightning.dataset.fashion_mnist import fashion_mnist

OFFICIAL = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
needs_official = pytest.mark.skipif(
    not OFFICIAL.is_dir() and "CI" not in os.environ, reason="needs the Debian package dataset-fashion-mnist"
)


def idx(values: np.ndarray) -> bytes:
    """Values in the format of the official files."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    return gzip.compress(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def miniature() -> dict[str, bytes]:
    """The four files with three images a class."""
    draws, made = np.random.default_rng(0), {}
    for prefix in ("train", "t10k"):
        made[f"{prefix}-images-idx3-ubyte.gz"] = idx(draws.integers(256, size=(30, 28, 28)))
        made[f"{prefix}-labels-idx1-ubyte.gz"] = idx(np.arange(30) % 10)
    return made


def test_official_files_are_read_where_they_lie(
    miniature: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in miniature.items():
        (tmp_path / name).write_bytes(content)
        monkeypatch.setitem(module.SHA256, name, hashlib.sha256(gzip.decompress(content)).hexdigest())
    data = fashion_mnist(str(tmp_path), None, 10, 0)
    assert data.train.images.shape == (30, 1, 28, 28)
    assert data.train.targets.tolist() == [label % 10 for label in range(30)]
    assert data.test.targets.bincount().tolist() == [1] * 10
    head = gzip.decompress(miniature["train-images-idx3-ubyte.gz"])[16:]
    assert data.train.images.numpy().tobytes() == head
    assert data.train.ids[17] == "train/00017"
    assert {path.name for path in tmp_path.iterdir()} == set(miniature)


def test_torchvision_downloads_what_is_missing(
    miniature: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[str, bytes], tuple[str, str]]
) -> None:
    served = {name: serve(name, content) for name, content in miniature.items()}
    monkeypatch.setattr(FashionMNIST, "mirrors", [next(iter(served.values()))[0].rpartition("/")[0] + "/"])
    monkeypatch.setattr(FashionMNIST, "resources", [(name, md5) for name, (_, md5) in served.items()])
    root = tmp_path / "data"
    data = fashion_mnist(str(root), None, None, 0)
    assert (len(data.train), len(data.test)) == (30, 30)
    assert (root / "FashionMNIST" / "raw").is_dir()


def test_other_and_damaged_files_are_refused(miniature: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in miniature.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"dataset\.root: .*does not hold the official images"):
        fashion_mnist(str(tmp_path), None, None, 0)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"dataset\.root: .*cannot be read"):
        fashion_mnist(str(tmp_path), None, None, 0)


@needs_official
def test_the_real_files() -> None:
    data = fashion_mnist(str(OFFICIAL), None, None, 0)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.targets.bincount().tolist() == [6000] * 10
    assert float(data.train.images.float().mean() / 255) == pytest.approx(0.2860, abs=1e-4)
    assert float(data.train.images.float().std() / 255) == pytest.approx(0.3530, abs=1e-4)


@needs_official
def test_the_file_in_the_package_is_made_of_the_real_ones() -> None:
    assert fashion_file(str(OFFICIAL)) == (files("dau_lightning.dataset") / "fashion.npy.xz").read_bytes()

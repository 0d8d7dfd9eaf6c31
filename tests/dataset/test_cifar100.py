import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR100

from dau_lightning.base.error import InputError
from dau_lightning.dataset.cifar100 import cifar100

NAMES = [f"class_{i:02d}" for i in range(100)]
UNREACHABLE = "http://127.0.0.1:9/cifar-100-python.tar.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def served(
    serve: Callable[[str, bytes], tuple[str, str]],
    tar_gz: Callable[[Mapping[str, bytes]], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, np.ndarray]:
    """An archive in the true format, 3 training images and 1 test image a class, where torchvision looks for the true one."""
    random, contents, truth = np.random.default_rng(0), {}, {}
    for name, count in (("train", 300), ("test", 100)):
        data = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        fine = random.permutation(np.arange(count) % 100)
        batch = {"data": data, "fine_labels": fine.tolist(), "coarse_labels": (fine // 5).tolist(), "batch_label": name}
        contents[name] = pickle.dumps(batch, protocol=2)
        truth[name], truth[f"{name}_labels"] = data.reshape(count, 3, 32, 32), fine
    coarse = [f"super_{i}" for i in range(20)]
    contents["meta"] = pickle.dumps({"fine_label_names": NAMES, "coarse_label_names": coarse}, protocol=2)
    archive = tar_gz({f"{CIFAR100.base_folder}/{name}": content for name, content in contents.items()})
    url, archive_md5 = serve(CIFAR100.filename, archive)
    monkeypatch.setattr(CIFAR100, "url", url)
    monkeypatch.setattr(CIFAR100, "tgz_md5", archive_md5)
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5(contents["train"])]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5(contents["test"])]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": md5(contents["meta"])})
    return truth


def test_downloads_and_reads_the_archive_and_then_needs_no_network(
    served: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        data = cifar100(str(tmp_path / "data"), None, None, 0)
        for name, part in (("train", data.train), ("test", data.test)):
            assert (part.images.numpy() == served[name]).all()
            assert (part.targets.numpy() == served[f"{name}_labels"]).all()
            assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
            assert part.class_names == tuple(NAMES)
            assert part.ids[17] == f"{name}/00017"
        monkeypatch.setattr(CIFAR100, "url", UNREACHABLE)


def test_both_levels_of_labels(served: dict[str, np.ndarray], tmp_path: Path) -> None:
    fine, coarse = (cifar100(str(tmp_path), 200, None, 0, level) for level in ("fine", "coarse"))
    assert fine.test.class_names == tuple(NAMES)
    assert coarse.test.class_names == tuple(f"super_{i}" for i in range(20))
    assert (coarse.test.targets.numpy() == served["test_labels"] // 5).all()
    for data in (fine, coarse):
        for part in (data.train, data.test):
            assert (part.levels["fine"][0] // 5).tolist() == part.levels["coarse"][0].tolist()
            assert torch.equal(part.targets, part.levels["fine" if data is fine else "coarse"][0])


@pytest.mark.usefixtures("served")
def test_limits(tmp_path: Path) -> None:
    data = cifar100(str(tmp_path), 200, None, 0)
    assert data.train.targets.bincount().tolist() == [2] * 100
    assert len(data.test) == 100
    with pytest.raises(InputError, match=r"^dataset\.train_limit: needs at least one image a class, 100 classes, got 99$"):
        cifar100(str(tmp_path), 99, None, 0)


def test_missing_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR100, "url", UNREACHABLE)
    with pytest.raises(InputError, match=r"^dataset\.root: cifar-100-python\.tar\.gz is missing in .*could not be downloaded"):
        cifar100(str(tmp_path), None, None, 0)

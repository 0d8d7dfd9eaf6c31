import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from dau_lightning.base.error import InputError
from dau_lightning.dataset.cifar10 import cifar10

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
UNREACHABLE = "http://127.0.0.1:9/cifar-10-python.tar.gz"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def served(
    serve: Callable[[str, bytes], tuple[str, str]],
    tar_gz: Callable[[Mapping[str, bytes]], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, np.ndarray]:
    """An archive in the true format with 4 images a class and batch, where torchvision looks for the true one."""
    random, contents, truth = np.random.default_rng(0), {}, {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        data = random.integers(0, 256, (40, 3072), dtype=np.uint8)
        labels = random.permutation(np.arange(40) % 10).tolist()
        names = [f"{i}.png" for i in range(40)]
        contents[name] = pickle.dumps({"batch_label": name, "labels": labels, "data": data, "filenames": names}, protocol=2)
        truth[name], truth[f"{name}_labels"] = data.reshape(40, 3, 32, 32), np.array(labels)
    contents["batches.meta"] = pickle.dumps({"num_cases_per_batch": 40, "label_names": NAMES, "num_vis": 3072}, protocol=2)
    archive = tar_gz({f"{CIFAR10.base_folder}/{name}": content for name, content in contents.items()})
    url, archive_md5 = serve(CIFAR10.filename, archive)
    monkeypatch.setattr(CIFAR10, "url", url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", archive_md5)
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(contents[name])] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5(contents[name])] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(contents["batches.meta"])})
    return truth


def test_downloads_and_reads_the_archive(served: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = cifar10(str(tmp_path / "new" / "data"), None, None, 0)
    batches = [f"data_batch_{i}" for i in range(1, 6)]
    assert data.train.images.numpy().tolist() == np.concatenate([served[name] for name in batches]).tolist()
    assert data.train.targets.tolist() == np.concatenate([served[f"{name}_labels"] for name in batches]).tolist()
    assert data.test.images.numpy().tolist() == served["test_batch"].tolist()
    assert data.test.targets.tolist() == served["test_batch_labels"].tolist()
    assert data.val is None
    for part in (data.train, data.test):
        assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
        assert part.images.is_contiguous()
        assert part.class_names == tuple(NAMES)
    assert data.train.ids[17] == "train/00017"
    assert data.test.ids[-1] == "test/00039"


@pytest.mark.usefixtures("served")
def test_needs_no_network_once_the_files_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cifar10(str(tmp_path), None, None, 0)
    monkeypatch.setattr(CIFAR10, "url", UNREACHABLE)
    assert cifar10(str(tmp_path), None, None, 0).train.images.equal(first.train.images)
    # A damaged batch comes anew from the archive.
    (tmp_path / CIFAR10.base_folder / "data_batch_3").write_bytes(b"")
    assert cifar10(str(tmp_path), None, None, 0).train.images.equal(first.train.images)


@pytest.mark.usefixtures("served")
def test_limits_are_balanced_and_drawn_from_the_seed(tmp_path: Path) -> None:
    first, again, other = (cifar10(str(tmp_path), 30, 10, seed) for seed in (0, 0, 1))
    assert first.train.targets.bincount().tolist() == [3] * 10
    assert first.test.targets.bincount().tolist() == [1] * 10
    assert (first.train.ids, first.test.ids) == (again.train.ids, again.test.ids)
    assert first.train.ids != other.train.ids
    with pytest.raises(InputError, match=r"^dataset\.test_limit: needs at least one image a class"):
        cifar10(str(tmp_path), 30, 9, 0)


def refused(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        cifar10(str(root), None, None, 0)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("dataset.root: cifar-10-python.tar.gz is ")
    assert "the data could not be downloaded" in message
    assert f"put cifar-10-python.tar.gz into {root}, or run once with network" in message
    return message


def test_missing_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "url", UNREACHABLE)
    assert "is missing in" in refused(tmp_path / "data")


@pytest.mark.usefixtures("served")
def test_half_an_archive_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (tmp_path / "server" / CIFAR10.filename).read_bytes()
    (tmp_path / CIFAR10.filename).write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(CIFAR10, "url", UNREACHABLE)
    assert "is damaged in" in refused(tmp_path)


@pytest.mark.usefixtures("served")
def test_half_an_archive_is_replaced_where_there_is_network(tmp_path: Path) -> None:
    (tmp_path / CIFAR10.filename).write_bytes(b"half")
    assert len(cifar10(str(tmp_path), None, None, 0).train) == 200


@pytest.mark.usefixtures("served")
def test_a_server_that_sends_something_else(tmp_path: Path) -> None:
    (tmp_path / "server" / CIFAR10.filename).write_bytes(b"<html>Log in to the hotel's network</html>")
    assert "corrupted" in refused(tmp_path / "data")


@pytest.mark.usefixtures("served")
def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    assert "FileExistsError" in refused(tmp_path / "data")

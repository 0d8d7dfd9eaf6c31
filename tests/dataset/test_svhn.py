import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import SVHN

from dau_lightning.base.error import InputError
from dau_lightning.dataset.svhn import svhn


@pytest.fixture
def served(serve: Callable[[str, bytes], tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Two .mat files in the true format (X is H x W x C x N, a zero has the label 10), where torchvision looks for them."""
    random, truth, split_list = np.random.default_rng(0), {}, {}
    for name, count in (("train", 60), ("test", 20)):
        images = random.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = random.permutation(np.arange(count) % 10 + 1).astype(np.uint8)
        buffer = io.BytesIO()
        savemat(buffer, {"X": images, "y": labels[:, None]})
        url, md5 = serve(f"{name}_32x32.mat", buffer.getvalue())
        split_list[name] = [url, f"{name}_32x32.mat", md5]
        truth[name], truth[f"{name}_labels"] = images.transpose(3, 2, 0, 1), labels % 10
    monkeypatch.setattr(SVHN, "split_list", split_list)
    return truth


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {name: ["http://127.0.0.1:9/x.mat", *rest] for name, (_, *rest) in SVHN.split_list.items()}
    monkeypatch.setattr(SVHN, "split_list", lists)


def test_downloads_and_reads_the_files_and_then_needs_no_network(
    served: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        data = svhn(str(tmp_path / "data"), None, None, 0)
        for name, part in (("train", data.train), ("test", data.test)):
            assert (part.images.numpy() == served[name]).all()
            assert (part.targets.numpy() == served[f"{name}_labels"]).all()
            assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
            assert part.images.is_contiguous()
            assert part.class_names == tuple("0123456789")
            assert part.ids[17] == f"{name}/00017"
        unreachable(monkeypatch)


@pytest.mark.usefixtures("served")
def test_limits(tmp_path: Path) -> None:
    data = svhn(str(tmp_path), 40, 10, 0)
    assert data.train.targets.bincount().tolist() == [4] * 10
    assert data.test.targets.bincount().tolist() == [1] * 10
    with pytest.raises(InputError, match=r"^dataset\.train_limit: needs at least one image a class"):
        svhn(str(tmp_path), 5, None, 0)


@pytest.mark.usefixtures("served")
def test_without_network_the_file_that_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable(monkeypatch)
    with pytest.raises(InputError, match=rf"^dataset\.root: train_32x32\.mat is missing in {tmp_path} .*not be downloaded"):
        svhn(str(tmp_path), None, None, 0)
    (tmp_path / "train_32x32.mat").write_bytes((tmp_path / "server" / "train_32x32.mat").read_bytes())
    (tmp_path / "test_32x32.mat").write_bytes(b"half")
    with pytest.raises(InputError, match=rf"test_32x32\.mat is damaged .*; put test_32x32\.mat into {tmp_path}, or run once"):
        svhn(str(tmp_path), None, None, 0)

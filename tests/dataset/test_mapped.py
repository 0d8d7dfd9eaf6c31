"""Images that stay in files are the same images, and a run from them is the same run."""

import errno
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dau_lightning.base.error import InputError
from dau_lightning.dataset import mapped
from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.dataset.images import Data, Images
from dau_lightning.dataset.mapped import MappedImages, Part
from dau_lightning.storage import image_cache
from tests.storage.test_image_cache import killed_after
from tests.test_own import make_folder
from tests.tiny import results

QUICK = [
    "dataset=imagefolder",
    "dataset.image_size=8",
    "network=convnet",
    "baseline=finetune",
    "wandb.mode=disabled",
    "recipe.epochs=2",
    "recipe.batch_size=8",
    "baseline.epochs=1",
    "baseline.batch_size=8",
    "dynamics=2",
]
CORRUPTED = [*QUICK, "corruption=backdoor", "scheme=corrupted", "reference=off", "figures=false"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-four training and as many test images; three of them fit into a cache file."""
    make_folder(tmp_path / "own", 12)
    monkeypatch.setattr(image_cache, "BLOCK_BYTES", 3 * 3 * 8 * 8)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def load(root: Path, limit: float | None) -> Data:
    return imagefolder(str(root), 8, 3, None, 10, 0, str(root.parent / "store"), resident_limit=limit)


def test_an_index_counts_over_all_parts() -> None:
    pixels = torch.arange(7 * 3 * 2 * 2, dtype=torch.uint8).view(7, 3, 2, 2)
    images = MappedImages([Part(part.numpy()) for part in pixels.split([3, 1, 3])])
    index = torch.tensor([6, 0, 3, 3, 2, 4])
    assert images.shape == pixels.shape
    assert torch.equal(images[index], pixels[index])
    assert images[index[:0]].shape == (0, 3, 2, 2)


def test_images_in_files_are_those_in_memory(root: Path) -> None:
    resident, data = load(root, None), load(root, 0)
    for ours, theirs in ((data.train, resident.train), (data.test, resident.test)):
        assert isinstance(ours.pixels, MappedImages)
        assert torch.equal(ours.images, theirs.images)
        assert (ours.digests, ours.ids, ours.shape) == (theirs.digests, theirs.ids, theirs.shape)
        some = torch.tensor([9, 2, 2])
        assert torch.equal(ours[some].images, theirs.images[some])
        assert torch.equal(ours[some].at(torch.tensor([2, 0])), theirs.images[[2, 9]])
        assert torch.equal(torch.cat(list(ours[some].blocks(2))), theirs.images[some])


def test_the_images_are_the_mapped_files_not_copies(root: Path) -> None:
    pixels = load(root, 0).train.pixels
    assert isinstance(pixels, MappedImages)
    for part in pixels.parts:
        assert part.pages is not None
        assert np.shares_memory(part.images, np.frombuffer(part.pages, np.uint8))
    assert {bytes(part.pages) for part in pixels.parts if part.pages} == {
        path.read_bytes() for path in (root.parent / "store").glob("*.safetensors")
    }


def test_what_is_needed_and_what_there_is_are_said_before_decoding(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "total_memory", lambda device: 34 * 3 * 8 * 8 * 2)
    load(root, None)
    assert not capsys.readouterr().out
    monkeypatch.setattr(mapped, "world_size", lambda: 2)  # each process holds the images
    monkeypatch.setattr(mapped, "load_images", lambda *_: pytest.fail("decoded"))
    with pytest.raises(pytest.fail.Exception):
        load(root, None)
    printed = capsys.readouterr().out
    assert printed.startswith("34 images of 3 x 8 x 8 take 6.53e-06 GB, and dataset.resident_limit is 3.26e-06 GB: ")
    assert printed.endswith("a smaller dataset.image_size or dataset.train_limit needs less\n")


@pytest.mark.parametrize("limit", [None, 0])
def test_a_disk_without_room_is_one_line_before_decoding(
    root: Path, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    monkeypatch.setattr(image_cache, "disk_usage", lambda _: type("Usage", (), {"free": 34 * 3 * 8 * 8 - 1}))
    monkeypatch.setattr(image_cache, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"^dataset\.cache: the decoded images need 0\.0 GB in \S+, where 0\.0 GB are free: "):
        load(root, limit)


def test_too_many_open_files_are_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "mmap", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
    with pytest.raises(InputError, match="more files are needed than may be open: raise the limit with ulimit -n 8192"):
        load(root, 0)


def test_a_killed_decoding_goes_on_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after(20, lambda: load(root, 0), monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in (root.parent / "store").glob("*.safetensors")}
    assert len(before) == 20 // 3
    assert torch.equal(load(root, 0).train.images, load(root, None).train.images)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (root.parent / "store").glob("*.safetensors")}.items()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [QUICK, CORRUPTED], ids=["random", "backdoor"])
def test_a_run_from_files_is_the_run_from_memory(run: Callable[..., str], root: Path, settings: list[str]) -> None:
    own = *settings, f"dataset.root={root}"
    assert "the run keeps them in files" not in run(*own, "store.root=one")
    ((folder, expected),) = results().items()
    again = "dataset.resident_limit=0", "store.root=two"
    assert "finished before" in run(*own, *again)  # the same configuration
    assert "the run keeps them in files" in run(*own, *again, "hydra.run.dir=runs/files")
    result = results()[Path("runs/files")]
    for name in ("data_hash", "split_hash", "counts"):
        assert result[name] == expected[name]
    timed = "seconds", "time_ratio", "store"
    for kind, row in expected["rows"].items():
        ours = result["rows"][kind]
        assert {name: ours[name] for name in ours if name not in timed} == {n: row[n] for n in row if n not in timed}
    ours, theirs = (load_file(each / "unlearned.safetensors") for each in (Path("runs/files"), folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_images_in_files_stay_when_the_others_move(root: Path) -> None:
    meta = torch.device("meta")
    for limit in (0, None):
        data: Images = load(root, limit).train
        moved = data.to(meta)
        assert moved.device == moved.at(torch.arange(2)).device == meta
        assert (moved.pixels.device == meta) == (limit is None)
        assert moved.shape == data.shape
        assert data.to(torch.device("cpu")) is data

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dau_lightning.base.error import InputError
from dau_lightning.storage import image_cache
from dau_lightning.storage.decode import decode
from dau_lightning.storage.image_cache import ImageFile, load_images
from dau_lightning.storage.seal import save_tensors
from tests.storage.test_decode import SIZE, picture

NAMES = "0.png", "1.png", "2/2.png", "3.png", "4.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images, of which the third is in a folder."""
    (tmp_path / "images" / "2").mkdir(parents=True)
    for i in range(5):
        picture(i).save(tmp_path / "images" / ("2/2.png" if i == 2 else f"{i}.png"))
    return tmp_path / "images"


def load(root: Path, size: int = SIZE, channels: int = 3) -> np.ndarray:
    files = []
    for path in sorted(root.rglob("*.png")):
        status = path.stat()
        files.append(ImageFile(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns))
    images = np.zeros((len(files), channels, size, size), np.uint8)
    load_images(root, files, (size, channels, True), root.parent / "store", images)
    return images


def cached(root: Path) -> Path:
    (path,) = (root.parent / "store").glob("*.safetensors")
    assert re.fullmatch(r"images-[0-9a-f]{12}\.safetensors", path.name)
    return path


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths of all images decoded so far."""
    paths: list[Path] = []
    original: Callable[..., np.ndarray] = decode
    monkeypatch.setattr(image_cache, "decode", lambda path, *form: (paths.append(path), original(path, *form))[1])
    return paths


def test_processes_give_the_same_images_in_the_same_order(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = load(root)
    cached(root).unlink()
    monkeypatch.setattr(image_cache, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 3 * SIZE * SIZE * 2)
    assert (load(root) == alone).all()
    (root / "3.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=re.escape(f"cannot read {root / '3.png'}")):
        load(root)
    assert [path for path in (root.parent / "store").iterdir() if path.suffix != ".lock"] == [cached(root)]


def test_the_second_load_decodes_nothing(root: Path, decodes: list[Path]) -> None:
    first = load(root)
    for i, path in enumerate(decodes):
        assert (first[i] == decode(path, SIZE)).all()
    assert len(decodes) == 5
    assert (load(root) == first).all()
    # The folder may move: paths in the key are relative.
    assert (load(root.rename(root.parent / "moved")) == first).all()
    assert len(decodes) == 5 + 2 * 5  # some are compared with the cache


def test_other_images_of_the_same_names_sizes_and_times_are_decoded(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for i in range(20):
            path = tmp_path / name / "images" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.frombytes("RGB", (8, 8), os.urandom(192)).save(path, "BMP")
            os.utime(path, ns=(0, 0))
    first = load(tmp_path / "one" / "images")
    (tmp_path / "one" / "images").rename(tmp_path / "away")
    (tmp_path / "two" / "images").rename(tmp_path / "one" / "images")
    with pytest.warns(UserWarning, match="other images of the same names, sizes and times"):
        second = load(tmp_path / "one" / "images")
    assert (second != first).any()
    assert (second == load(tmp_path / "one" / "images")).all()


def test_any_change_of_a_file_decodes_again(root: Path, decodes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    load(root)
    image, status = root / "0.png", (root / "0.png").stat()
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    load(root)
    picture(55, 20, 20).save(image)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (load(root)[0] == decode(image, SIZE)).all()
    image.rename(root / "00.png")
    load(root)
    load(root, SIZE + 1)
    monkeypatch.setattr(image_cache, "VERSION", image_cache.VERSION + 1)
    load(root)
    assert len(decodes) == 6 * 5


def test_grey_images_are_cached_beside_those_in_colour(root: Path, decodes: list[Path]) -> None:
    colour = load(root)
    for _ in range(2):
        assert (load(root, channels=1) == [decode(root / name, SIZE, 1) for name in NAMES]).all()
    assert (load(root) == colour).all()
    assert len(decodes) == 2 * 5 + 2 * 5  # the last ten are compared with the cache


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


def of(name: str, *shape: int, dtype: type = np.uint8) -> Callable[[Path], None]:
    return lambda path: save_tensors(path, {name: np.zeros(shape, dtype)}, {})


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        of("images", 5, 3, SIZE + 1, SIZE),
        of("images", 5, 3, SIZE, SIZE, dtype=np.float32),
        of("weights", 5, 3, SIZE, SIZE),
    ],
    ids=["flipped", "shape", "type", "name"],
)
def test_a_damaged_cache_is_set_aside_and_rebuilt(root: Path, damage: Callable[[Path], object]) -> None:
    first = load(root)
    path = cached(root)
    damage(path)
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match=re.escape(f"{path} cannot be used")) as caught:
        again = load(root)
    assert len(caught) == 1
    assert path.with_name(f"{path.name}.bad").read_bytes() == damaged
    assert (again == first).all()
    assert (load(root) == first).all()


def killed_after(count: int, loading: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Load images, and end when some are decoded."""
    calls = iter(range(count))

    def one(path: Path, *form: Any) -> np.ndarray:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return decode(path, *form)

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "decode", one)
        with pytest.raises(KeyboardInterrupt):
            loading()


@pytest.mark.parametrize("count", range(5))
def test_a_killed_run_decodes_only_missing_blocks(root: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(image_cache, "BLOCK_BYTES", 2 * 3 * SIZE * SIZE)  # two images
    killed_after(count, lambda: load(root), monkeypatch)
    before = sorted((root.parent / "store").glob("*.safetensors"))
    assert len(before) == count // 2
    times = [path.stat().st_mtime_ns for path in before]
    assert (load(root) == [decode(root / name, SIZE) for name in NAMES]).all()
    assert [path.stat().st_mtime_ns for path in before] == times
    assert len(list((root.parent / "store").glob("*.safetensors"))) == 3


def test_only_the_block_of_a_changed_file_is_decoded_again(
    root: Path, decodes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "BLOCK_BYTES", 2 * 3 * SIZE * SIZE)
    load(root)
    picture(55, 20, 20).save(root / "1.png")
    decodes.clear()
    assert (load(root) == [decode(root / name, SIZE) for name in NAMES]).all()
    assert len(decodes) == 3 + 2  # the other blocks are compared
    assert len(list((root.parent / "store").glob("*.safetensors"))) == 4


def test_all_unreadable_images_are_named_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cache, "BLOCK_BYTES", 2 * 3 * SIZE * SIZE)
    monkeypatch.setattr(image_cache, "NAMED", 2)
    for name in ("0.png", "1.png", "4.png"):
        (root / name).write_bytes((root / name).read_bytes()[:40])
    with pytest.raises(InputError) as caught:
        load(root)
    message = str(caught.value)
    assert message.count("dataset.root: needs images, cannot read") == 1
    assert [str(root / name) in message for name in NAMES] == [True, True, False, False, False]
    assert message.endswith("; 3 in all: replace or remove them")
    assert len(list((root.parent / "store").glob("*.safetensors"))) == 1  # the block in which all can be read


def test_remarks_are_kept_with_the_pixels(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1).save(root / "1.png", exif=exif)
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(root / "3.png")
    files = [ImageFile(name, 0, 0) for name in NAMES]
    for _ in range(2):
        _, remarks = load_images(root, files, (SIZE, 3, True), root.parent / "store", None)
        assert remarks == {"turned": 1, "dark": 1}
    _, remarks = load_images(root, files, ((4, 6), 3, False), root.parent / "store", None)
    assert remarks == {"unturned": 1, "dark": 1}


def test_a_cache_folder_that_cannot_be_made_is_one_line(root: Path) -> None:
    (root.parent / "store").write_text("a file")
    with pytest.raises(InputError, match=r"^dataset\.cache: "):
        load(root)


def test_the_decoding_processes_import_no_torch() -> None:
    code = "import sys, dau_lightning.storage.image_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.functional import center_crop, resize
from torchvision.transforms.v2 import InterpolationMode

from dau_lightning.base.error import InputError
from dau_lightning.storage import image_cache
from dau_lightning.storage.image_cache import ImageFile, decode, load_images
from dau_lightning.storage.seal import save_tensors

SIZE = 8


def picture(seed: int, width: int = 11, height: int = 9, mode: str = "RGB") -> Image.Image:
    """A smooth random picture, so that neighbours mean something and JPEG keeps it."""
    values = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def reference(image: Image.Image, size: int = SIZE) -> np.ndarray:
    """Torchvision's own resize and crop."""
    resized = resize(cast(Any, image), [size], InterpolationMode.BICUBIC)
    return np.asarray(center_crop(resized, [size])).transpose(2, 0, 1).astype(int)


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize(("width", "height"), [(8, 8), (8, 13), (14, 8), (16, 16), (5, 3), (3, 41), (50, 37), (1, 200), (1, 1)])
def test_images_are_resized_and_cropped_as_torchvision_does(tmp_path: Path, width: int, height: int) -> None:
    picture(7, width, height).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png", SIZE)
    assert (image.shape, image.dtype) == ((3, SIZE, SIZE), np.uint8)
    assert np.abs(image - reference(picture(7, width, height))).max() <= 1


def test_a_very_long_image_is_decoded_fast(tmp_path: Path) -> None:
    Image.new("RGB", (1, 300_000), (10, 20, 30)).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", 64) == np.array([10, 20, 30])[:, None, None]).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.gif", "a.bmp", "a.webp", "a.tiff", "a.ppm", "a.tga"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_is_read(tmp_path: Path, name: str, mode: str) -> None:
    picture(3, SIZE, SIZE, mode).save(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        assert (decode(tmp_path / name, SIZE) == rgb(stored)).all()


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_every_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture(3, SIZE, SIZE, mode).save(path)
    assert (decode(path, SIZE) == rgb(picture(3, SIZE, SIZE, mode))).all()


def test_a_palette_with_transparency_becomes_rgb(tmp_path: Path) -> None:
    image = picture(3, SIZE, SIZE).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes(range(16)))
    assert (decode(tmp_path / "a.png", SIZE) == rgb(image)).all()


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_sixteen_bits_keep_the_high_byte(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    assert (decode(tmp_path / name, SIZE) == values >> 8).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_by_their_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(5, 2 * SIZE, SIZE).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as stored:
        a = np.asarray(stored)
    mirrored = a[:, ::-1]
    upright = [a, mirrored, np.rot90(a, 2), a[::-1], np.rot90(mirrored), np.rot90(a, -1), np.rot90(mirrored, -1), np.rot90(a)]
    expected = reference(Image.fromarray(np.ascontiguousarray(upright[orientation - 1])))
    assert np.abs(decode(tmp_path / "a.jpg", SIZE) - expected).max() <= 1


def refused(path: Path, reason: str = "") -> None:
    with pytest.raises(InputError) as caught:
        decode(path, SIZE)
    message = str(caught.value)
    assert message.startswith(f"dataset.root: needs images, cannot read {path} (")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\x00", b"BM" + bytes(60)])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    refused(tmp_path / "bad.png")


@pytest.mark.parametrize("name", ["bad.jpg", "bad.png", "bad.webp", "bad.gif"])
def test_a_truncated_image_is_refused(tmp_path: Path, name: str) -> None:
    Image.effect_noise((64, 64), 100).convert("RGB").save(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-200])
    refused(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_without_a_known_range_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.ones((SIZE, SIZE), dtype)).save(tmp_path / "a.tiff")
    refused(tmp_path / "a.tiff", "have no range")


@pytest.mark.parametrize("pixels", [400, 900], ids=["error", "warning"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    picture(0, 30, 31).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    refused(tmp_path / "a.png", "decompression bomb")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images, of which the third is in a folder."""
    (tmp_path / "images" / "2").mkdir(parents=True)
    for i in range(5):
        picture(i).save(tmp_path / "images" / ("2/2.png" if i == 2 else f"{i}.png"))
    return tmp_path / "images"


def load(root: Path, size: int = SIZE) -> np.ndarray:
    files = []
    for path in sorted(root.rglob("*.png")):
        status = path.stat()
        files.append(ImageFile(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns))
    return load_images(root, files, size, root.parent / "store")


def cached(root: Path) -> Path:
    (path,) = (root.parent / "store").glob("*.safetensors")
    assert re.fullmatch(r"images-[0-9a-f]{12}\.safetensors", path.name)
    return path


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths of all images decoded so far."""
    paths: list[Path] = []
    original: Callable[[Path, int], np.ndarray] = decode
    monkeypatch.setattr(image_cache, "decode", lambda path, size: (paths.append(path), original(path, size))[1])
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
        assert np.abs(first[i] - reference(Image.open(path))).max() <= 1
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
    assert np.abs(load(root)[0] - reference(picture(55, 20, 20))).max() <= 1
    image.rename(root / "00.png")
    load(root)
    load(root, SIZE + 1)
    monkeypatch.setattr(image_cache, "VERSION", image_cache.VERSION + 1)
    load(root)
    assert len(decodes) == 6 * 5


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


def killed_after(count: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode some images, each of them a chunk and a shard, and end."""
    original: Callable[[Path, int], np.ndarray] = decode
    calls = iter(range(count))

    def one(path: Path, size: int) -> np.ndarray:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return original(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "decode", one)
        with pytest.raises(KeyboardInterrupt):
            load(root)


@pytest.mark.parametrize("count", range(5))
def test_a_killed_run_decodes_only_missing_images(
    root: Path, decodes: list[Path], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    expected = load(root)
    cached(root).unlink()
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 1)
    monkeypatch.setattr(image_cache, "SHARD_SECONDS", 0)
    killed_after(count, root, monkeypatch)
    decodes.clear()
    assert (load(root) == expected).all()
    assert len(decodes) == 5 - count
    cached(root)  # the shards are removed


def test_a_shard_that_cannot_be_used_is_set_aside(root: Path, decodes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(root)
    cached(root).unlink()
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 1)
    monkeypatch.setattr(image_cache, "SHARD_SECONDS", 0)
    killed_after(3, root, monkeypatch)
    (second,) = (root.parent / "store").glob("*-from-1-to-2.safetensors")
    flip_a_bit(second)
    decodes.clear()
    with pytest.warns(UserWarning, match=re.escape(f"{second} cannot be used")):
        assert (load(root) == expected).all()
    assert len(decodes) == 4


def test_a_cache_folder_that_cannot_be_made_is_one_line(root: Path) -> None:
    (root.parent / "store").write_text("a file")
    with pytest.raises(InputError, match=r"^dataset\.cache: "):
        load(root)


def test_the_decoding_processes_import_no_torch() -> None:
    code = "import sys, dau_lightning.storage.image_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.functional import center_crop, resize
from torchvision.transforms.v2 import InterpolationMode

from dau_lightning.base.error import InputError
from dau_lightning.storage import decode as decoding
from dau_lightning.storage.decode import decode

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
    assert all((decode(tmp_path / name, SIZE, channels) == values >> 8).all() for channels in (1, 3))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_pixel_mode_becomes_grey(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture(3, SIZE, SIZE, mode).save(path)
    image = decode(path, SIZE, 1)
    assert image.shape == (1, SIZE, SIZE)
    weighted = np.tensordot([0.299, 0.587, 0.114], rgb(picture(3, SIZE, SIZE, mode)), 1)  # Rec. 601 luma
    assert np.abs(image[0] - weighted).max() <= 0.51


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
    refused(tmp_path / "a.tiff", "have no fixed range")


@pytest.mark.parametrize("pixels", [400, 900], ids=["error", "warning"])
def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    picture(0, 30, 31).save(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "MAX_PIXELS", pixels)
    refused(tmp_path / "a.png", f"more than {pixels} pixels")


def test_a_photograph_above_the_limit_of_pillow_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(0, 30, 31).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert np.abs(decode(tmp_path / "a.png", SIZE) - reference(picture(0, 30, 31))).max() <= 1
    assert Image.MAX_IMAGE_PIXELS == 400


@pytest.mark.parametrize("size", [(8, 12), (12, 8), (5, 5)])
def test_two_numbers_are_height_and_width_as_in_torchvision(tmp_path: Path, size: tuple[int, int]) -> None:
    picture(2, 20, 15).save(tmp_path / "a.png")
    expected = np.asarray(resize(cast(Any, picture(2, 20, 15)), list(size), InterpolationMode.BICUBIC)).transpose(2, 0, 1)
    image = decode(tmp_path / "a.png", size)
    assert image.shape == (3, *size)
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_orientation_can_be_ignored_as_torchvision_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    picture(5, SIZE, SIZE).save(tmp_path / "a.png", exif=exif)
    remarks: Counter[str] = Counter()
    assert (decode(tmp_path / "a.png", SIZE, 3, False, remarks) == rgb(picture(5, SIZE, SIZE))).all()
    assert remarks == {"unturned": 1}
    assert (decode(tmp_path / "a.png", SIZE, 3, True, remarks) == rgb(picture(5, SIZE, SIZE))[:, ::-1, ::-1]).all()
    assert remarks == {"unturned": 1, "turned": 1}


@pytest.mark.parametrize(("bits", "dark"), [(10, 1), (12, 1), (14, 1), (16, 0)])
def test_few_bits_in_sixteen_are_remarked(tmp_path: Path, bits: int, dark: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, (SIZE, SIZE), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    remarks: Counter[str] = Counter()
    decode(tmp_path / "a.png", SIZE, remarks=remarks)
    assert remarks["dark"] == dark


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A colour PNG of 16 bits a channel, which Pillow reads but does not write, from uint16 `(height, width, channels)`."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("bits", "dark"), [(12, 1), (14, 1), (16, 0)])
def test_few_bits_in_sixteen_are_remarked_in_colour(tmp_path: Path, bits: int, dark: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, (SIZE, SIZE, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values))
    remarks: Counter[str] = Counter()
    assert (decode(tmp_path / "a.png", SIZE, remarks=remarks) == (values[..., :3] >> 8).transpose(2, 0, 1)).all()
    assert remarks["dark"] == dark
    Image.new("RGB", (SIZE, SIZE), (9, 9, 9)).save(tmp_path / "b.png")
    decode(tmp_path / "b.png", SIZE, remarks=remarks)
    assert remarks["dark"] == dark

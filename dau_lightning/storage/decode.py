"""Decodes an image file of any format to RGB or grey pixels of one size.

This file does not import torch: every decoding process imports it, and torch would cost each of them seconds and memory.
"""

import io
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from dau_lightning.base.error import InputError

FILTER = Image.Resampling.BICUBIC
BOMB = Image.DecompressionBombWarning, Image.DecompressionBombError
MAX_PIXELS = 2**28  # of an image; a phone's largest photograph has 200 million. Its decoding takes 1 GB
PNG_BITS = 24  # where a PNG's header has its bits a channel
Size = int | tuple[int, int]  # the side of the square to cut out, or height and width to resize to
Remarks = Counter[str]  # how many images were `turned` or left `unturned`, or are `dark`: 16 bits that use at most 14


def decode(path: Path, size: Size, channels: int = 3, exif: bool = True, remarks: Remarks | None = None) -> np.ndarray:
    """Decode an image to RGB, or to grey for one channel.

    Args:
        path: the file.
        size: a number: the shorter side is resized to it and the centre cut out; two: the image is resized to them.
        channels: 3 for RGB, 1 for grey.
        exif: whether to turn the image as its EXIF orientation says.
        remarks: counts what a user should know about the image.

    Returns:
        uint8 `(channels, height, width)`.

    Raises:
        InputError: the file cannot be read as an image, or has more than `MAX_PIXELS`.
    """
    remarks = Counter() if remarks is None else remarks
    height, width = shape = (size, size) if isinstance(size, int) else size
    try:
        with warnings.catch_warnings(), _pixels_up_to(MAX_PIXELS):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Palette images with Transparency")  # dropped
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                image.load()  # some formats have their EXIF data behind the pixels
                if image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9):
                    remarks["turned" if exif else "unturned"] += 1
                    if exif:
                        ImageOps.exif_transpose(image, in_place=True)
                if image.format == "PNG" and content[PNG_BITS] == 16 and image.mode in ("RGB", "RGBA"):
                    remarks["dark"] += 0 < np.asarray(image.convert("RGB")).max() < 2**6  # of which Pillow keeps the high byte
                converted = _converted(image, {1: "L", 3: "RGB"}[channels], remarks)
                resized = _square(converted, size) if isinstance(size, int) else converted.resize((width, height), FILTER)
                return np.asarray(resized).reshape(*shape, channels).transpose(2, 0, 1)
    except Exception as error:  # Pillow raises many kinds of errors at damaged files
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else error
        reason = f"more than {MAX_PIXELS:,} pixels" if isinstance(error, BOMB) else reason
        raise InputError(f"dataset.root: needs images, cannot read {path} ({' '.join(str(reason).split())})") from error


@contextmanager
def _pixels_up_to(limit: int) -> Iterator[None]:
    """Let Pillow open larger images than by default, within the block."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _converted(image: Image.Image, mode: str, remarks: Remarks) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow would clip 16-bit grey at 255, which gives a white image. Of 16-bit colour it keeps the high byte, as here.
        values = np.asarray(image)
        remarks["dark"] += bool(0 < values.max() < 2**14)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range, so they cannot be scaled to 0..255")
    return image.convert(mode)


def _square(image: Image.Image, size: int) -> Image.Image:
    """Resize only the pixels that the crop keeps, so that an image of 1 x 1,000,000 pixels costs no more than others."""
    full = [size * side // min(image.size) for side in image.size]
    start = [round((side - size) / 2) for side in full]
    scale = [side / new for side, new in zip(image.size, full, strict=True)]
    left, top, right, bottom = (
        edge * factor for edge, factor in zip([*start, *(s + size for s in start)], scale * 2, strict=True)
    )
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((size, size), FILTER, box=box)

"""Decodes an image file of any format to RGB or grey pixels of one size.

This file does not import torch: every decoding process imports it, and torch would cost each of them seconds and memory.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dau_lightning.base.error import InputError


def decode(path: Path, size: int, channels: int = 3) -> np.ndarray:
    """Decode an image to RGB, or to grey for one channel: apply its EXIF orientation, resize the shorter side, crop the centre.

    Returns:
        uint8 `(channels, size, size)`.

    Raises:
        InputError: the file cannot be read as an image, or has so many pixels that Pillow refuses it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Palette images with Transparency")  # dropped
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                ImageOps.exif_transpose(image, in_place=True)
                pixels = np.asarray(_square(_converted(image, {1: "L", 3: "RGB"}[channels]), size))
                return pixels.reshape(size, size, channels).transpose(2, 0, 1)
    except Exception as error:  # Pillow raises many kinds of errors at damaged files
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"dataset.root: needs images, cannot read {path} ({' '.join(str(reason).split())})") from error


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow would clip 16-bit grey at 255, which gives a white image. Of 16-bit colour it keeps the high byte, as here.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
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
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)

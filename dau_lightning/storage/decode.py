"""An image file of any kind as RGB or grey pixels of one size.

Imports no torch: the decoding processes import this file, and each would need seconds and memory for torch.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dau_lightning.base.error import InputError


def decode(path: Path, size: int, channels: int = 3) -> np.ndarray:
    """An image as RGB, or grey for one channel: turned by its EXIF orientation, resized by its shorter side, cut square.

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
    except Exception as error:  # Pillow raises a dozen kinds at damaged files
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"dataset.root: needs images, cannot read {path} ({' '.join(str(reason).split())})") from error


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow's conversion clips at 255: a white image. Of 16-bit colour images it keeps the high byte, as here.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range that 0..255 could stand for")
    return image.convert(mode)


def _square(image: Image.Image, size: int) -> Image.Image:
    """Resize what the crop keeps, and only that, so that an image of 1 x 1,000,000 pixels costs no more than another."""
    full = [size * side // min(image.size) for side in image.size]
    start = [round((side - size) / 2) for side in full]
    scale = [side / new for side, new in zip(image.size, full, strict=True)]
    left, top, right, bottom = (
        edge * factor for edge, factor in zip([*start, *(s + size for s in start)], scale * 2, strict=True)
    )
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)

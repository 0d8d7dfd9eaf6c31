"""Image files as one uint8 array: decoded on all cores, and kept decoded in a file that the next run reads instead.

Imports no torch: the decoding processes import this file, and each would need seconds and memory for torch.
"""

import io
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps

from dau_lightning.base.child_process import end_with
from dau_lightning.base.console import progress_bar
from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import locked, set_aside
from dau_lightning.storage.seal import load_tensors, save_tensors, sha256

VERSION = 2  # Raise it when `decode` gives other values: a cache of another version has another name and is left alone.
CHUNK_BYTES = 4 << 20  # what a process decodes and hands over at once
PARALLEL_BYTES = 16 << 20  # image files of this size take a second to decode, about as long as it takes to start the processes
SHARD_SECONDS = 30  # of decoding that a killed run loses at most
COMPARED = 8  # images of a cache that are decoded again and compared


class ImageFile(NamedTuple):
    """An image file: its path relative to the root with forward slashes, bytes, and time of change in nanoseconds."""

    path: str
    size: int
    modified: int


def load_images(root: Path, files: Sequence[ImageFile], image_size: int, folder: Path) -> np.ndarray:
    """The images of `files`: from the cache in `folder` if it has exactly these, else decoded and written to it.

    Returns:
        uint8 `(len(files), 3, image_size, image_size)`.

    Raises:
        InputError: an image cannot be read, or the cache cannot be written.
    """
    described = [f"\0{file.path}\0{file.size}\0{file.modified}" for file in files]
    path = folder / f"images-{sha256(f'{VERSION} {image_size}', *described)[:12]}.safetensors"
    shape = (len(files), 3, image_size, image_size)
    with suppress(OSError, ValueError):  # the holder of the lock deals with it
        return _load_compared(path, root, files, shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f"{path.name}.lock"), "which decodes the images"):
            return _load_or_decode(path, root, files, shape)
    except OSError as error:
        raise InputError(f"dataset.cache: cannot write decoded images to {folder} ({error})") from error


def _load_or_decode(path: Path, root: Path, files: Sequence[ImageFile], shape: tuple[int, ...]) -> np.ndarray:
    try:
        return _load_compared(path, root, files, shape)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        set_aside(path, error)
    images = _decode_all([root / file.path for file in files], sum(file.size + 4096 for file in files), shape, path)
    save_tensors(path, {"images": images}, {})
    for shard in path.parent.glob(_shard(path, "*", "*")):
        shard.unlink()
    return images


def _load_compared(path: Path, root: Path, files: Sequence[ImageFile], shape: tuple[int, ...]) -> np.ndarray:
    """The cache, some images of it compared with the files: an archive can unpack others of the same names, sizes and times."""
    images = _load(path, shape)
    for place in {len(files) * number // COMPARED for number in range(COMPARED)}:
        if (images[place] != decode(root / files[place].path, shape[-1])).any():
            raise ValueError("it holds other images of the same names, sizes and times")
    return images


def _load(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    tensors, _ = load_tensors(path, "numpy")
    images = tensors.get("images", np.empty(0))
    if (images.shape, images.dtype) != (shape, np.uint8):
        raise ValueError(f"needs images uint8 {shape}, found {images.dtype} {images.shape}")
    return images


def _decode_all(paths: Sequence[Path], work: int, shape: tuple[int, ...], cache: Path) -> np.ndarray:
    """Decode in processes, a factor of three faster than threads on small images; each chunk goes to its place as it comes."""
    images, size = np.empty(shape, np.uint8), shape[-1]
    step = max(1, min(256, CHUNK_BYTES // (3 * size * size)))
    saved = done = _load_shards(images, cache)
    chunks = (delayed(_decode_chunk)(paths[i : i + step], size, os.getpid()) for i in range(done, len(paths), step))
    pool = Parallel(n_jobs=-1 if work > PARALLEL_BYTES else 1, prefer="processes", return_as="generator")
    with progress_bar() as bar:
        task, written = bar.add_task("decoding images", total=len(paths), completed=done), time.monotonic()
        for chunk in cast(Iterator[np.ndarray], pool(chunks)):
            images[done : done + len(chunk)] = chunk
            done += len(chunk)
            bar.update(task, completed=done)
            if time.monotonic() - written >= SHARD_SECONDS:
                save_tensors(cache.with_name(_shard(cache, saved, done)), {"images": images[saved:done]}, {})
                saved, written = done, time.monotonic()
    return images


def _shard(cache: Path, first: int | str, last: int | str) -> str:
    """The name of a file with part of the images, which is written while others are decoded."""
    return f"{cache.stem}-from-{first}-to-{last}.safetensors"


def _load_shards(images: np.ndarray, cache: Path) -> int:
    """Copy the shards of a killed run to their places, up to the first that is missing; returns the number of their images."""
    done = 0
    while found := list(cache.parent.glob(_shard(cache, done, "*"))):
        last = int(found[0].stem.rpartition("-")[2])
        try:
            images[done:last] = _load(found[0], (last - done, *images.shape[1:]))
        except (OSError, ValueError) as error:
            set_aside(found[0], error)
            break
        done = last
    return done


def _decode_chunk(paths: Sequence[Path], size: int, leader: int) -> np.ndarray:
    if leader != os.getpid():
        end_with(leader)  # else joblib's processes wait for ever when the leader is killed
    return np.stack([decode(path, size) for path in paths])


def decode(path: Path, size: int) -> np.ndarray:
    """An image as RGB: turned as its EXIF orientation says, the shorter side resized to `size`, the centre cut out.

    Returns:
        uint8 `(3, size, size)`.

    Raises:
        InputError: the file cannot be read as an image, or has so many pixels that Pillow refuses it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Palette images with Transparency")  # dropped in RGB
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return np.asarray(_square(_rgb(image), size)).transpose(2, 0, 1)
    except Exception as error:  # Pillow raises a dozen kinds at damaged files
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"dataset.root: needs images, cannot read {path} ({' '.join(str(reason).split())})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow's conversion clips at 255: a white image. Of 16-bit colour images it keeps the high byte, as here.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range that 0..255 could stand for")
    return image.convert("RGB")


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

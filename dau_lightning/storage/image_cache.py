"""Image files as one uint8 array: decoded on all cores, and kept decoded in a file that the next run reads in its place.

Free of torch: the decoding processes import this file, and each would pay seconds and memory for torch.
"""

import hashlib
import io
import os
import struct
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dau_lightning.base.child_process import end_with
from dau_lightning.base.console import progress_bar
from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, locked, set_aside

VERSION = 1  # Raise it when `decode` gives other values: cached images of another version are not read.
CHUNK_BYTES = 4 << 20  # What a process hands over at once.
PARALLEL_BYTES = 16 << 20  # About a second of decoding, which is what starting the processes takes.
SHARD_SECONDS = 30  # Of decoding, at most, that a killed process loses.
SPOTS = 8  # Images by which a cache is known to be of these files.

# What Pillow's readers let through when a file is damaged.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError)
UNREADABLE += (struct.error, zlib.error, Image.DecompressionBombError, Warning)  # Warning: where they are errors.


class ImageFile(NamedTuple):
    """An image file: its path relative to the root with forward slashes, bytes, and time of change in nanoseconds."""

    path: str
    size: int
    modified: int


def decoded(root: Path, files: Sequence[ImageFile], image_size: int, folder: Path) -> np.ndarray:
    """The images of `files`, from the cache in `folder` if it has just these, else decoded and written to it.

    Returns:
        uint8 `(len(files), 3, image_size, image_size)`.

    Raises:
        InputError: an image cannot be read, or the cache cannot be written.
    """
    key = hashlib.sha256(f"{VERSION} {image_size}".encode())
    for file in files:
        key.update(f"\0{file.path}\0{file.size}\0{file.modified}".encode(errors="surrogateescape"))
    path = folder / f"images-{key.hexdigest()[:12]}.safetensors"
    shape = (len(files), 3, image_size, image_size)
    with suppress(OSError, ValueError, SafetensorError):  # Whoever holds the lock deals with it.
        return _load_these(path, root, files, shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f"{path.name}.lock"), "which decodes the images"):
            return _load_or_decode(path, root, files, shape)
    except (OSError, SafetensorError) as error:
        raise InputError(f"dataset.cache: cannot write decoded images to {folder} ({error})") from error


def _load_or_decode(path: Path, root: Path, files: Sequence[ImageFile], shape: tuple[int, ...]) -> np.ndarray:
    try:
        return _load_these(path, root, files, shape)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, SafetensorError) as error:
        set_aside(path, error)
    images = _decode_all([root / file.path for file in files], sum(file.size + 4096 for file in files), shape, path)
    _save(images, path)
    for shard in path.parent.glob(_shard(path, "*", "*")):
        shard.unlink()
    return images


def _load_these(path: Path, root: Path, files: Sequence[ImageFile], shape: tuple[int, ...]) -> np.ndarray:
    """Decoded images, some of which are looked at once more: archives give other files the same names, sizes and times."""
    images = _load(path, shape)
    for place in {len(files) * spot // SPOTS for spot in range(SPOTS)}:
        if (images[place] != decode(root / files[place].path, shape[-1])).any():
            raise ValueError("it holds other images of the same names, sizes and times")
    return images


def _load(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    with safe_open(path, framework="numpy") as file:
        if file.keys() != ["images"] or file.get_slice("images").get_dtype() != "U8":
            raise ValueError("it holds other tensors")
        images, digest = file.get_tensor("images"), (file.metadata() or {}).get("sha256")
    if images.shape != shape:
        raise ValueError(f"needs uint8 {shape}, found {images.shape}")
    if hashlib.sha256(images.data).hexdigest() != digest:
        raise ValueError("its content is not what its sha256 says")
    return images


def _save(images: np.ndarray, path: Path) -> None:
    with atomic_write(path) as temporary:
        save_file({"images": images}, temporary, metadata={"sha256": hashlib.sha256(images.data).hexdigest()})


def _decode_all(paths: Sequence[Path], work: int, shape: tuple[int, ...], cache: Path) -> np.ndarray:
    """Processes beat threads by a factor of three on small images; each chunk goes to its place as soon as it is there."""
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
                _save(images[saved:done], cache.with_name(_shard(cache, saved, done)))
                saved, written = done, time.monotonic()
    return images


def _shard(cache: Path, first: int | str, last: int | str) -> str:
    return f"{cache.stem}-from-{first}-to-{last}.safetensors"


def _load_shards(images: np.ndarray, cache: Path) -> int:
    """Put the shards that a killed process left in their places, as far as they have no gap; the number of their images."""
    done = 0
    while found := list(cache.parent.glob(_shard(cache, done, "*"))):
        last = int(found[0].stem.rpartition("-")[2])
        try:
            images[done:last] = _load(found[0], (last - done, *images.shape[1:]))
        except (OSError, ValueError, SafetensorError) as error:
            set_aside(found[0], error)
            break
        done = last
    return done


def _decode_chunk(paths: Sequence[Path], size: int, leader: int) -> np.ndarray:
    if leader != os.getpid():
        end_with(leader)  # joblib's processes wait for ever where it is killed while they hand over
    return np.stack([decode(path, size) for path in paths])


def decode(path: Path, size: int) -> np.ndarray:
    """An image as RGB, turned as its EXIF orientation says, the shorter side resized to `size`, the centre cut out.

    Returns:
        uint8 `(3, size, size)`.

    Raises:
        InputError: the file cannot be read as an image, or has so many pixels that Pillow takes it for an attack.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Palette images with Transparency")  # RGB has none.
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return np.asarray(_square(_rgb(image), size)).transpose(2, 0, 1)
    except UNREADABLE as error:
        reason = "no image format that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else error
        raise InputError(f"dataset.root: needs images, cannot read {path} ({' '.join(str(reason).split())})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow's own conversion clips at 255, a white image. The high byte is what it keeps of 16-bit colour images.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range that 0..255 could stand for")
    return image.convert("RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    """Resizes only what the crop keeps, so that a 1 x 1,000,000 image costs no more than another."""
    full = [size * side // min(image.size) for side in image.size]
    start = [round((side - size) / 2) for side in full]
    scale = [side / new for side, new in zip(image.size, full, strict=True)]
    left, top, right, bottom = (
        edge * factor for edge, factor in zip([*start, *(s + size for s in start)], scale * 2, strict=True)
    )
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)

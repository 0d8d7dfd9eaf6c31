"""Loads image files as one uint8 array: decodes them on all cores, and keeps the pixels in files for the next run.

This file does not import torch: every decoding process imports it, and torch would cost each of them seconds and memory.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed

from dau_lightning.base.child_process import end_with
from dau_lightning.base.console import progress_bar
from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import locked, set_aside
from dau_lightning.storage.decode import decode
from dau_lightning.storage.seal import load_tensors, save_tensors, sha256

VERSION = 2  # Raise it when `decode` gives other values: file names in the cache contain it, so older files are not read.
BLOCK_BYTES = 256 << 20  # decoded images in a cache file; a killed run loses the file it was making, some seconds of work
CHUNK_BYTES = 1 << 20  # decoded images that a process returns at once
PARALLEL_BYTES = 16 << 20  # image files of this size take a second to decode, as long as the start of the processes takes
COMPARED = 8  # images of a cache file that are decoded again, to compare them


class ImageFile(NamedTuple):
    """An image file: path relative to the root with forward slashes, size in bytes, time of last change in nanoseconds."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Block:
    """The images of one cache file: their image files, and a view of their pixels in the array of all images."""

    root: Path
    files: Sequence[ImageFile]
    pixels: np.ndarray
    folder: Path

    @property
    def path(self) -> Path:
        """The cache file; its name is a hash of everything that the pixels depend on."""
        described = [f"\0{file.path}\0{file.size}\0{file.modified}" for file in self.files]
        return self.folder / f"images-{sha256(f'{VERSION} {self.form}', *described)[:12]}.safetensors"

    @property
    def form(self) -> tuple[int, int]:
        """Pixels a side, and channels."""
        return self.pixels.shape[2], self.pixels.shape[1]

    def is_loaded(self, holds_lock: bool = False) -> bool:
        """Copy the pixels from the cache; False if it lacks them. With the lock held, rename a file that is damaged."""
        try:
            self.pixels[:] = self._cached()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            if holds_lock:
                set_aside(self.path, error)
            return False
        return True

    def _cached(self) -> np.ndarray:
        tensors, _ = load_tensors(self.path, "numpy")
        found = tensors.get("images", np.empty(0))
        if (found.shape, found.dtype) != (self.pixels.shape, self.pixels.dtype):
            raise ValueError(f"needs images uint8 {self.pixels.shape}, found {found.dtype} {found.shape}")
        for place in {len(self.files) * number // COMPARED for number in range(COMPARED)}:
            if (found[place] != decode(self.root / self.files[place].path, *self.form)).any():
                raise ValueError("it holds other images of the same names, sizes and times")  # from another archive
        return found

    def decode(self, pool: Parallel, advance: Callable[[int], None]) -> None:
        """Decode the image files, and write the pixels to the cache; `advance` is told about every few images."""
        done, step = 0, max(1, min(256, CHUNK_BYTES // self.pixels[0].nbytes))
        paths = [self.root / file.path for file in self.files]
        chunks = (delayed(_decode_chunk)(paths[i : i + step], self.form, os.getpid()) for i in range(0, len(paths), step))
        for chunk in cast(Iterator[np.ndarray], pool(chunks)):
            self.pixels[done : done + len(chunk)] = chunk
            done += len(chunk)
            advance(len(chunk))
        save_tensors(self.path, {"images": self.pixels}, {})


def load_images(root: Path, files: Sequence[ImageFile], image_size: int, channels: int, folder: Path) -> np.ndarray:
    """The images of `files`, from the cache in `folder` as far as it has them; the others are decoded and written to it.

    Returns:
        uint8 `(len(files), channels, image_size, image_size)`.

    Raises:
        InputError: an image cannot be read, or the cache cannot be written.
    """
    images = np.empty((len(files), channels, image_size, image_size), np.uint8)
    count = max(1, BLOCK_BYTES // (channels * image_size * image_size))
    places = [slice(first, first + count) for first in range(0, len(files), count)]
    blocks = [Block(root, files[place], images[place], folder) for place in places]
    if missing := [block for block in blocks if not block.is_loaded()]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "images.lock", "which decodes images"):
                _decode_all(missing)
        except OSError as error:
            raise InputError(f"dataset.cache: cannot write decoded images to {folder} ({error})") from error
    return images


def _decode_all(blocks: Sequence[Block]) -> None:
    """Decode the blocks, except those that another process has decoded in the meantime.

    With small images, processes are three times as fast as threads.
    """
    files = [file for block in blocks for file in block.files]
    work = sum(file.size + 4096 for file in files)
    pool = Parallel(n_jobs=-1 if work > PARALLEL_BYTES else 1, prefer="processes", return_as="generator")
    with progress_bar() as bar:
        task = bar.add_task("decoding images", total=len(files))
        for block in blocks:
            if block.is_loaded(holds_lock=True):
                bar.advance(task, len(block.files))
            else:
                block.decode(pool, partial(bar.advance, task))


def _decode_chunk(paths: Sequence[Path], form: tuple[int, int], leader: int) -> np.ndarray:
    if leader != os.getpid():
        end_with(leader)  # else joblib's processes wait for ever when the leader is killed
    return np.stack([decode(path, *form) for path in paths])

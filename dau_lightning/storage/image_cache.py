"""Decodes image files to uint8 on all cores, and keeps the pixels in files, from which this run or the next reads them.

This file does not import torch: every decoding process imports it, and torch would cost each of them seconds and memory.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from shutil import disk_usage
from typing import NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed

from dau_lightning.base.child_process import end_with
from dau_lightning.base.console import progress_bar
from dau_lightning.base.error import InputError, require
from dau_lightning.storage.atomic import locked, set_aside
from dau_lightning.storage.decode import Remarks, Size, decode
from dau_lightning.storage.seal import load_tensors, save_tensors, sha256

VERSION = 4  # Raise it when `decode` gives other values or remarks: file names have it, so older files are not read.
BLOCK_BYTES = 256 << 20  # decoded images in a cache file; a killed run loses the file it was making, some seconds of work
CHUNK_BYTES = 1 << 20  # decoded images that a process returns at once
PARALLEL_BYTES = 16 << 20  # image files of this size take a second to decode, as long as the start of the processes takes
NAMED = 10  # unreadable images in an error
COMPARED = 8  # images of a cache file that are decoded again, to compare them


Form = tuple[Size, int, bool]  # size, channels and exif of `decode`
Chunk = tuple[np.ndarray, Remarks, list[str]]  # decoded images, remarks, and the errors of those that cannot be read


class ImageFile(NamedTuple):
    """An image file: path relative to the root with forward slashes, size in bytes, time of last change in nanoseconds."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Block:
    """The images of one cache file: their image files, and a view of their pixels in the array of all images, if there is one.

    `remarks` counts what `decode` found, and `unreadable` has what it refused.
    """

    root: Path
    files: Sequence[ImageFile]
    pixels: np.ndarray | None
    folder: Path
    form: Form
    remarks: Remarks = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """The cache file; its name is a hash of everything that the pixels depend on."""
        described = [f"\0{file.path}\0{file.size}\0{file.modified}" for file in self.files]
        return self.folder / f"images-{sha256(f'{VERSION} {self.form}', *described)[:12]}.safetensors"

    def is_loaded(self, holds_lock: bool = False) -> bool:
        """Check the cache file and copy its pixels; False if it is missing. With the lock held, rename one that is damaged."""
        try:
            found = self._cached()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            if holds_lock:
                set_aside(self.path, error)
            return False
        if self.pixels is not None:
            self.pixels[:] = found
        return True

    def _cached(self) -> np.ndarray:
        tensors, about = load_tensors(self.path, "numpy")
        found = tensors.get("images", np.empty(0))
        if (found.shape, found.dtype) != (shape := (len(self.files), *shape_of(self.form)), np.uint8):
            raise ValueError(f"needs images uint8 {shape}, found {found.dtype} {found.shape}")
        for place in {len(self.files) * number // COMPARED for number in range(COMPARED)}:
            if (found[place] != decode(self.root / self.files[place].path, *self.form)).any():
                raise ValueError("it holds other images of the same names, sizes and times")  # from another archive
        self.remarks.update({name: int(count) for name, count in about.items()})
        return found

    def decode(self, pool: Parallel, advance: Callable[[int], None]) -> None:
        """Decode the image files, and write the pixels to the cache; `advance` is told about every few images."""
        pixels = np.empty((len(self.files), *shape_of(self.form)), np.uint8) if self.pixels is None else self.pixels
        done, step = 0, max(1, min(256, CHUNK_BYTES // pixels[0].nbytes))
        paths = [self.root / file.path for file in self.files]
        chunks = (delayed(_decode_chunk)(paths[i : i + step], self.form, os.getpid()) for i in range(0, len(paths), step))
        for chunk, remarks, unreadable in cast(Iterator[Chunk], pool(chunks)):
            pixels[done : done + len(chunk)] = chunk
            self.remarks.update(remarks)
            self.unreadable.extend(unreadable)
            done += len(chunk)
            advance(len(chunk))
        if not self.unreadable:
            save_tensors(self.path, {"images": pixels}, {name: str(count) for name, count in self.remarks.items()})


def load_images(
    root: Path, files: Sequence[ImageFile], form: Form, folder: Path, images: np.ndarray | None
) -> tuple[list[Path], Remarks]:
    """Take the images of `files` from the cache in `folder` as far as it has them; decode the others and write them to it.

    Args:
        root: the folder to which the paths of the files are relative.
        files: the image files.
        form: how they are decoded.
        folder: the folder of the cache.
        images: uint8 `(len(files), *shape_of(form))`, to be filled; None if the images stay in the cache files.

    Returns:
        The cache files, each with the tensor `images`, in order; and how many images have which remark of `decode`.

    Raises:
        InputError: images cannot be read, of which the first ten are named, or the cache cannot be written or has no room.
    """
    count = max(1, BLOCK_BYTES // prod(shape_of(form)))
    places = [slice(first, first + count) for first in range(0, len(files), count)]
    blocks = [Block(root, files[place], None if images is None else images[place], folder, form) for place in places]
    if missing := [block for block in blocks if not block.is_loaded()]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "images.lock", "which decodes images"):
                _decode_all(missing)
        except OSError as error:
            raise InputError(f"dataset.cache: cannot write decoded images to {folder} ({error})") from error
    return [block.path for block in blocks], sum((block.remarks for block in blocks), Counter())


def shape_of(form: Form) -> tuple[int, int, int]:
    """Channels, height and width of a decoded image."""
    size, channels, _ = form
    return (channels, size, size) if isinstance(size, int) else (channels, *size)


def _decode_all(blocks: Sequence[Block]) -> None:
    """Decode the blocks, except those that another process has decoded in the meantime.

    With small images, processes are three times as fast as threads.
    """
    files = [file for block in blocks for file in block.files]
    need = sum(len(block.files) for block in blocks if not block.path.exists()) * prod(shape_of(blocks[0].form))
    free = disk_usage(folder := blocks[0].folder).free
    require(
        need <= free,
        f"dataset.cache: the decoded images need {need / 1e9:,.1f} GB in {folder}, where {free / 1e9:,.1f} GB are free: give a "
        "folder with more room as store.root, or a smaller dataset.image_size or dataset.train_limit",
    )
    work = sum(file.size + 4096 for file in files)
    pool = Parallel(n_jobs=-1 if work > PARALLEL_BYTES else 1, prefer="processes", return_as="generator")
    with progress_bar() as bar:
        task = bar.add_task("decoding images", total=len(files))
        for block in blocks:
            if block.is_loaded(holds_lock=True):
                bar.advance(task, len(block.files))
            else:
                block.decode(pool, partial(bar.advance, task))
    if unreadable := [message for block in blocks for message in block.unreadable]:
        first = "; ".join([unreadable[0], *(message.partition("cannot read ")[2] for message in unreadable[1:NAMED])])
        raise InputError(first if len(unreadable) == 1 else f"{first}; {len(unreadable):,} in all: replace or remove them")


def _decode_chunk(paths: Sequence[Path], form: Form, leader: int) -> Chunk:
    if leader != os.getpid():
        end_with(leader)  # else joblib's processes wait for ever when the leader is killed
    images, remarks, unreadable = [], Counter[str](), []
    for path in paths:
        try:
            images.append(decode(path, *form, remarks))
        except InputError as error:
            images.append(np.zeros(shape_of(form), np.uint8))
            unreadable.append(str(error))
    return np.stack(images), remarks, unreadable

"""Decoded images, in memory if there is room, else in files, of which the system keeps the pages that it has memory for."""

import errno
import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import prod
from mmap import ACCESS_READ, MADV_RANDOM, MADV_WILLNEED, PAGESIZE, mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dau_lightning.base.devices import world_size
from dau_lightning.base.error import InputError
from dau_lightning.base.hardware import total_memory
from dau_lightning.storage.decode import Remarks
from dau_lightning.storage.image_cache import Form, ImageFile, load_images, shape_of

GB = 1e9
SHARE = 0.5  # of the machine's memory, for images if no limit is given


class Part(NamedTuple):
    """Images uint8 `(N, C, H, W)`; if they stay in a file, its pages in memory and the byte in it at which they begin."""

    images: np.ndarray
    pages: mmap | None = None
    start: int = 0

    def read_ahead(self, row: int) -> None:
        """Let the system begin to read an image; else it would read page after page, each when the page before is there."""
        if self.pages:
            first = self.start + row * self.images[0].nbytes
            page = first // PAGESIZE * PAGESIZE
            self.pages.madvise(MADV_WILLNEED, page, first - page + self.images[0].nbytes)


class MappedImages:
    """The images of several parts, one part after another, as one uint8 array `(N, C, H, W)` that can only be indexed.

    Args:
        parts: the images; those of `mapped` take memory only while the system has it to spare.
    """

    device = torch.device("cpu")

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        *self._starts, count = accumulate((len(part.images) for part in parts), initial=0)
        self.shape = torch.Size((count, *parts[0].images.shape[1:]))

    def __getitem__(self, index: Tensor) -> Tensor:
        """Copies of the images at `index`, int64 `(M,)`."""
        self.read_ahead(index)
        images = np.empty((len(index), *self.shape[1:]), np.uint8)
        for image, (part, row) in zip(images, self._places(index), strict=True):
            image[:] = part.images[row]
        return torch.from_numpy(images)

    def read_ahead(self, index: Tensor) -> None:
        """Let the system begin to read the images at `index`, all at the same time."""
        for part, row in self._places(index):
            part.read_ahead(row)

    def _places(self, index: Tensor) -> Iterator[tuple[Part, int]]:
        rows = index.numpy()
        numbers = np.searchsorted(self._starts, rows, "right") - 1
        for number, row in zip(numbers.tolist(), (rows - np.take(self._starts, numbers)).tolist(), strict=True):
            yield self.parts[number], row


def decoded(
    root: Path, files: Sequence[ImageFile], form: Form, cache: Path, limit: float | None
) -> tuple[Tensor | MappedImages, Remarks]:
    """The images of files, uint8 `(N, C, H, W)`, and the remarks of their decoding, see `load_images`.

    Args:
        root: the folder to which the paths of the files are relative.
        files: the image files.
        form: how they are decoded.
        cache: the folder for the decoded images.
        limit: GB of images to hold in memory; more stay in the cache. None: half of the memory, for all devices together.
    """
    limit = SHARE * total_memory(torch.device("cpu")) / world_size() / GB if limit is None else limit
    shape = len(files), *shape_of(form)
    if (need := prod(shape) / GB) <= limit:
        images = np.empty(shape, np.uint8)
        return torch.from_numpy(images), load_images(root, files, form, cache, images)[1]
    print(
        f"{len(files):,} images of {' x '.join(map(str, shape[1:]))} take {need:,.3g} GB, and dataset.resident_limit is "
        f"{limit:,.3g} GB: the run keeps them in files in {cache} and reads them from there; a smaller dataset.image_size or "
        "dataset.train_limit needs less"
    )
    paths, remarks = load_images(root, files, form, cache, None)
    return MappedImages([mapped(path) for path in paths]), remarks


def mapped(path: Path) -> Part:
    """The tensor `images` of a safetensors file, mapped into memory.

    Raises:
        InputError: as many files are open as the system allows.
    """
    try:
        with open(path, "rb") as file:
            pages = mmap(file.fileno(), 0, access=ACCESS_READ)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        raise InputError(f"{path}: more files are needed than may be open: raise the limit with ulimit -n 8192") from error
    pages.madvise(MADV_RANDOM)  # else the system reads up to megabytes around each image
    size = int.from_bytes(pages[:8], "little")
    about = json.loads(pages[8 : 8 + size])["images"]
    start = 8 + size + about["data_offsets"][0]
    return Part(np.frombuffer(pages, np.uint8, prod(about["shape"]), start).reshape(about["shape"]), pages, start)

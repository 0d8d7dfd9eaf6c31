"""A data set in this package: labelled uint8 images, in memory or in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from dau_lightning.base.hardware import total_memory
from dau_lightning.dataset.mapped import MappedImages, Part

ON_DEVICE = 0.25  # the largest share of a device's memory that the images of a part may take there
BLOCK_BYTES = 16 << 20  # of images that are read at once, where all are read one after another


@dataclass(frozen=True)
class Images:
    """Labelled images. A part of a set shares the pixels of the set, so that it takes no memory of its own.

    Attributes:
        pixels: uint8 `(M, C, H, W)`; some of them, or all, are the images. Read them by `at` or `blocks`, or as `images`.
        targets: int64 `(N,)`, each in `[0, len(class_names))`.
        class_names: a name for each class, in the order of the targets.
        ids: a name for each image, unique and stable between runs: a path relative to the root, or `train/00017`.
        levels: labels `(N,)` and class names by level, if the data set has several levels of labels; `targets` is one of them.
        root: the folder to which the ids are relative paths; None if the images have no files of their own.
        corrupted: marks the images whose pixels or label a corruption changed, bool `(N,)`; None without a corruption.
        scores: of each image, the number by which a scheme chooses, float64 `(N,)`: the original's margin, or the memorisation
            by reference models; None for a scheme that asks for none.
        rows: the places of the images in `pixels`, int64 `(N,)`; None if `pixels` are the images.
    """

    pixels: Tensor | MappedImages
    targets: Tensor
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    levels: Mapping[str, tuple[Tensor, tuple[str, ...]]] = field(default_factory=dict)
    root: Path | None = None
    corrupted: Tensor | None = None
    scores: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)

    def __getitem__(self, index: Tensor) -> "Images":
        """The images at `index`, int64 `(M,)`, in that order; or those that a mask marks, bool `(N,)`."""
        index = index.nonzero().flatten() if index.dtype == torch.bool else index
        ids = tuple(self.ids[i] for i in index.tolist())
        levels = {name: (targets[index], names) for name, (targets, names) in self.levels.items()}
        corrupted = None if self.corrupted is None else self.corrupted[index]
        scores = None if self.scores is None else self.scores[index]
        rows = self._rows(index)
        some = Images(self.pixels, self.targets[index], self.class_names, ids, levels, self.root, corrupted, scores, rows)
        if "digests" in vars(self):  # to compute them reads all pixels
            vars(some)["digests"] = tuple(self.digests[i] for i in index.tolist())
        return some

    @property
    def shape(self) -> torch.Size:
        """`(N, C, H, W)`."""
        return torch.Size((len(self), *self.pixels.shape[1:]))

    @property
    def device(self) -> torch.device:
        """The device of the targets, and of what `at` returns."""
        return self.targets.device

    @property
    def images(self) -> Tensor:
        """All of the images in memory, uint8 `(N, C, H, W)`; for parts that may be large, take `at` or `blocks`."""
        if isinstance(self.pixels, Tensor) and self.rows is None:
            return self.pixels
        return self.at(torch.arange(len(self)))

    def first(self, count: int) -> Tensor:
        """The first images, or all if there are fewer, uint8 `(B, C, H, W)`."""
        return self.at(torch.arange(min(count, len(self))))

    def at(self, index: Tensor) -> Tensor:
        """The images at `index`, int64 `(B,)`: uint8 `(B, C, H, W)`, on the device."""
        return self.pixels[self._rows(index)].to(self.device, non_blocking=True)

    def read_ahead(self, index: Tensor) -> None:
        """Let the system begin to read the images at `index`, if they stay in files."""
        if isinstance(self.pixels, MappedImages):
            self.pixels.read_ahead(self._rows(index))

    def blocks(self, size: int | None = None) -> Iterator[Tensor]:
        """The images in order, uint8 `(B, C, H, W)`, `size` of them at a time; None: as many as `BLOCK_BYTES` hold."""
        size = size or max(1, BLOCK_BYTES // max(1, prod(self.shape[1:])))
        indices = torch.arange(len(self), device=self.pixels.device).split(size)
        for index, following in zip(indices, [*indices[1:], indices[0][:0]], strict=True):
            self.read_ahead(following)
            yield self.at(index)

    def to(self, device: torch.device) -> "Images":
        """The images on a device. Images that stay in files, or are large for that device, are copied to it by `at`."""
        if device == self.device:
            return self
        small = isinstance(self.pixels, Tensor) and prod(self.shape) <= ON_DEVICE * total_memory(device)
        there = replace(self, targets=self.targets.to(device))
        return replace(there, pixels=self.images.to(device), rows=None) if small else there

    def with_images(self, index: Tensor, images: Tensor) -> "Images":
        """The same, but with other images, uint8 `(M, C, H, W)`, at `index`, int64 `(M,)`."""
        rows = self._rows(torch.arange(len(self))).clone()
        rows[index] = self.pixels.shape[0] + torch.arange(len(index))
        own = self.pixels
        grown = torch.cat([own, images]) if isinstance(own, Tensor) else MappedImages([*own.parts, Part(images.numpy())])
        return replace(self, pixels=grown, rows=rows)

    def _rows(self, index: Tensor) -> Tensor:
        index = index.to(self.pixels.device, non_blocking=True)
        return index if self.rows is None else self.rows[index]

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """A hash of the pixels of each image: equal for exact copies."""
        return tuple(sha256(image.data).digest() for block in self.blocks() for image in block.contiguous().numpy())


@dataclass(frozen=True)
class Data:
    """The official sets of a data set: train, test, and val if the data set has one.

    `turned` counts the images that were turned as their EXIF data say, `unturned` those that were left as they are.
    """

    train: Images
    test: Images
    val: Images | None = None
    turned: int = 0
    unturned: int = 0

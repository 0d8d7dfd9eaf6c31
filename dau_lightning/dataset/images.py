"""A data set in this package: labelled uint8 images in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        images: uint8 `(N, C, H, W)`.
        targets: int64 `(N,)`, each in `[0, len(class_names))`.
        class_names: a name for each class, in the order of the targets.
        ids: a name for each image, unique and stable between runs: a path relative to the root, or `train/00017`.
        levels: labels `(N,)` and class names by level, if the data set has several levels of labels; `targets` is one of them.
        root: the folder to which the ids are relative paths; None if the images have no files of their own.
        corrupted: marks the images whose pixels or label a corruption changed, bool `(N,)`; None without a corruption.
        scores: of each image, the number by which a scheme chooses, float64 `(N,)`: the original's margin, or the memorisation
            by reference models; None for a scheme that asks for none.
    """

    images: Tensor
    targets: Tensor
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    levels: Mapping[str, tuple[Tensor, tuple[str, ...]]] = field(default_factory=dict)
    root: Path | None = None
    corrupted: Tensor | None = None
    scores: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)

    def __getitem__(self, index: Tensor) -> "Images":
        """The images at `index`, int64 `(M,)`, in that order."""
        ids = tuple(self.ids[i] for i in index.tolist())
        levels = {name: (targets[index], names) for name, (targets, names) in self.levels.items()}
        corrupted = None if self.corrupted is None else self.corrupted[index]
        scores = None if self.scores is None else self.scores[index]
        return Images(self.images[index], self.targets[index], self.class_names, ids, levels, self.root, corrupted, scores)

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """A hash of the pixels of each image: equal for exact copies."""
        return tuple(sha256(image.data).digest() for image in self.images.contiguous().numpy())


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

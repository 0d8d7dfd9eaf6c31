"""Positions in the training set: from arrays that a program made, and in the order of torchvision's ImageFolder."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from dau_lightning.base.console import printable
from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Images


def as_positions(values: np.ndarray, count: int, name: str) -> list[int]:
    """Positions among `count` training images, from positions (kept as they are) or from a bool mask `(count,)`.

    Args:
        values: the positions or the mask.
        count: number of training images.
        name: the argument or file that holds them, for errors.

    Raises:
        InputError: the values are neither, could be both, or look like labels.
    """
    if values.dtype == bool:
        require(values.shape == (count,), f"{name} must be a mask of all {count} images of train, got shape {values.shape}")
        return values.nonzero()[0].tolist()
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise InputError(
            f"{name} must hold integers, positions in train, or be a mask of it; got {values.dtype}, shape {values.shape}"
        )
    different, entries = set(values.tolist()), len(values)
    if different and different <= {0, 1} and (entries == count or entries > 2 == len(different)):
        images = "as many as train has images" if entries == count else f"and train has {count} images"
        raise InputError(
            f"{name} holds {entries} zeros and ones, {images}: make it a mask of type bool, or give the positions of the ones "
            "(numpy.flatnonzero)"
        )
    require(
        len(different) == entries or entries < count,
        f"{name} holds {entries:,} integers for {count:,} images, and some are the same, as in an array of labels: give each "
        "position once, or a mask of type bool",
    )
    return values.tolist()


def imagefolder_order(train: Images) -> tuple[list[int | None], str]:
    """The places in `train` of the images at positions 0, 1, ..., and a note where `train` has another order.

    Positions are those in `torchvision.datasets.ImageFolder(root/train).samples`. They differ from places where there are
    files of formats that torchvision does not list, hidden files, folders within a class, or a limit; a place is None where
    `train` lacks the image. Images without files of their own have their places as positions.
    """
    if train.root is None:
        return list(range(len(train))), ""
    folder = train.root / "train"
    samples = make_dataset(str(folder), find_classes(folder)[1], IMG_EXTENSIONS, allow_empty=True)
    order = [Path(path).relative_to(train.root).as_posix() for path, _ in samples]
    known = {name: place for place, name in enumerate(train.ids)}
    note = f"positions count the {len(order):,} files that torchvision's ImageFolder lists in {folder}"
    note += f", of the {len(train):,} images here {len(known.keys() & set(order)):,} are among them"
    pairs = enumerate(zip_longest(order, train.ids, fillvalue="no image"))
    differ = next(((place, *map(printable, pair)) for place, pair in pairs if pair[0] != pair[1]), None)
    if differ:
        note += "; the first difference is position {}, which is {} there and {} here".format(*differ)
    return [known.get(name) for name in order], note if differ else ""

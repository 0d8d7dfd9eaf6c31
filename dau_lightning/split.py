"""The one split that original, reference and method share, and the two hashes that prove it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dau_lightning.dataset import Data, Images, balanced
from dau_lightning.error import InputError

VAL_FRACTION = 0.1  # held out of the official training set where the data set brings no validation set of its own


@dataclass(frozen=True)
class Split:
    """The samples of each part, and what identifies them.

    Attributes:
        train: `D`, what the original is trained on.
        retain: `D_r`, the part of `D` to keep; with `forget` a partition of `D`.
        forget: `D_f`, the part of `D` to forget.
        val: `D_v`, never trained on. In a selection run the half of it that plays the game.
        judge: half of the rest of `D_v` in a selection run (retained classes), which only judges; empty otherwise.
        outside: the other half of that rest, the nonmembers that the attacks of a selection run are fitted on.
        test_retain: test images of the classes that still have retain samples.
        test_forget: test images of the classes that have none.
        data_hash: of the images, `D` and `D_v`; originals carry it.
        split_hash: of `data_hash` and `D_f`; Retrain, unlearned models and results carry it.
    """

    train: Images
    retain: Images
    forget: Images
    val: Images
    judge: Images
    outside: Images
    test_retain: Images
    test_forget: Images
    data_hash: str
    split_hash: str


Scheme = Callable[[Images, torch.Generator], Tensor]


def make_split(data: Data, scheme: Scheme, seed: int, selection: bool = False) -> Split:
    """Split a data set. `D` and `D_v` come from data and seed alone, whatever the scheme.

    Args:
        data: the official sets.
        scheme: `D` to the bool mask of the samples to forget.
        seed: of the split.
        selection: halve `D_v` by class into the part that plays and the part that judges (see `metric.selection`).

    Raises:
        InputError: nothing to forget, nothing to retain, or no validation or test image.
    """
    train, val = _hold_out(data, seed)
    mask = scheme(train, torch.Generator().manual_seed(seed))
    retain, forget = train[(~mask).nonzero().flatten()], train[mask.nonzero().flatten()]
    kept_class = torch.isin(data.test.targets, retain.targets)
    test_retain, test_forget = (data.test[where.nonzero().flatten()] for where in (kept_class, ~kept_class))
    _require(len(forget) > 0, "the scheme marks no sample to forget: choose another scheme.target or a larger scheme.fraction")
    _require(
        len(retain) > 0, "the scheme leaves no sample to retain: choose a smaller scheme.fraction, or data with more classes"
    )
    _require(len(test_retain) > 0, "no test image belongs to a retained class: add images to the test set")
    data_hash = _digest(data.train, data.test, *([data.val] if data.val else []), ids=(train.ids, val.ids))
    split_hash = _digest(ids=((data_hash,), forget.ids))
    generator = torch.Generator().manual_seed(seed)
    rest, val = _halve(val, generator) if selection else (val[torch.arange(0)], val)
    judge, outside = _halve(rest[torch.isin(rest.targets, retain.targets).nonzero().flatten()], generator)
    return Split(train, retain, forget, val, judge, outside, test_retain, test_forget, data_hash, split_hash)


def _halve(images: Images, generator: torch.Generator) -> tuple[Images, Images]:
    """Two class-balanced halves; the second has the odd sample."""
    first = torch.zeros(len(images), dtype=torch.bool)
    first[balanced(images.targets, len(images) // 2, generator)] = True
    return images[first.nonzero().flatten()], images[(~first).nonzero().flatten()]


def emptied_classes(split: Split) -> list[str]:
    """Names of the classes of `D` that have no retain sample left."""
    gone = set(split.train.targets.tolist()) - set(split.retain.targets.tolist())
    return [split.train.class_names[label] for label in sorted(gone)]


def _hold_out(data: Data, seed: int) -> tuple[Images, Images]:
    """`D` and `D_v`: the official training set less a class-balanced tenth, or all of it where there is a val set."""
    if data.val is not None:
        return data.train, data.val
    held = torch.zeros(len(data.train), dtype=torch.bool)
    count = round(VAL_FRACTION * len(data.train))
    held[balanced(data.train.targets, count, torch.Generator().manual_seed(seed))] = True
    _require(
        count > 0, f"a tenth of {len(data.train)} training images is no validation set: use at least 10, or add a val/ folder"
    )
    return data.train[(~held).nonzero().flatten()], data.train[held.nonzero().flatten()]


def _digest(*sets: Images, ids: tuple[tuple[str, ...], ...]) -> str:
    """SHA-256 over pixels, labels, class names and lists of ids."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(repr((tuple(images.images.shape), images.class_names)).encode())
        digest.update(images.images.contiguous().numpy().data)
        digest.update(images.targets.contiguous().numpy().data)
    for names in ids:
        digest.update("\n".join(names).encode() + b"\0")
    return digest.hexdigest()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)

"""The one split that original, reference and method share, and the two hashes that prove it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dau_lightning.dataset import Data, Images, stratified
from dau_lightning.error import InputError
from dau_lightning.randomness import generator

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
        selection: halve `D_v`, classes in proportion: one half plays, the other judges (see `metric.selection`).

    Raises:
        InputError: nothing to forget, nothing to retain, or no validation or test image.
    """
    train, val = _hold_out(data, seed)
    mask = scheme(train, generator(seed, "scheme"))
    retain, forget = train[(~mask).nonzero().flatten()], train[mask.nonzero().flatten()]
    kept_class = torch.isin(data.test.targets, retain.targets)
    test_retain, test_forget = (data.test[where.nonzero().flatten()] for where in (kept_class, ~kept_class))
    _require(len(forget) > 0, "the scheme marks no sample to forget: choose another scheme.target or a larger scheme.fraction")
    _require(
        len(retain) > 0, "the scheme leaves no sample to retain: choose a smaller scheme.fraction, or data with more classes"
    )
    _require(len(test_retain) > 0, "no test image belongs to a retained class: add images to the test set")
    data_hash = _digest(data.train, data.test, *([data.val] if data.val else []), ids=(train.ids, val.ids))
    split_hash = _digest(ids=((data_hash, *(["selection"] if selection else [])), forget.ids))
    rest, val = _halve(val, seed, "play") if selection else (val[torch.arange(0)], val)
    judge, outside = _halve(rest[torch.isin(rest.targets, retain.targets).nonzero().flatten()], seed, "judge")
    _require(not selection or len(judge) > 0, "selection=true needs at least 4 validation images of retained classes")
    return Split(train, retain, forget, val, judge, outside, test_retain, test_forget, data_hash, split_hash)


def _halve(images: Images, seed: int, name: str) -> tuple[Images, Images]:
    """Two halves with the classes in proportion; the second has the odd sample."""
    return _part(images, stratified(images.targets, len(images) // 2, generator(seed, name)))


def _part(images: Images, index: Tensor) -> tuple[Images, Images]:
    """The images at an index, and the others."""
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[index] = True
    return images[chosen.nonzero().flatten()], images[(~chosen).nonzero().flatten()]


def emptied_classes(split: Split) -> list[str]:
    """Names of the classes of `D` that have no retain sample left."""
    gone = set(split.train.targets.tolist()) - set(split.retain.targets.tolist())
    return [split.train.class_names[label] for label in sorted(gone)]


def _hold_out(data: Data, seed: int) -> tuple[Images, Images]:
    """`D` and `D_v`: the official training set less a tenth of every class, or all of it where there is a val set."""
    if data.val is not None:
        _require(len(data.val) > 0, "the val set must hold at least one image, or leave it out")
        return data.train, data.val
    count = round(VAL_FRACTION * len(data.train))
    _require(count > 0, f"a tenth of {len(data.train)} training images is no validation set: use 10 or add a val/ folder")
    val, train = _part(data.train, stratified(data.train.targets, count, generator(seed, "hold out")))
    return train, val


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

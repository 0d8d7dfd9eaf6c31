"""The split that original, Retrain and method share, and the two hashes that identify it."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.error import require
from dau_lightning.base.randomness import generator
from dau_lightning.data.copies import find_copies
from dau_lightning.data.request import Scheme, asked_for
from dau_lightning.dataset.draw import stratified
from dau_lightning.dataset.images import Data, Images

Corruption = Callable[[Images, torch.Generator], Images]
VAL_FRACTION = 0.1  # share of the training set that is held out as `D_v` if the data set has no validation set


@dataclass(frozen=True)
class Split:
    """The samples of each part, their hashes, and the request.

    A run with a selection score (`metric.selection`) uses half of `D_v` as its validation set; the samples of retained
    classes in the other half are `judge` and `judge_nonmembers`. In other runs these two parts are empty.

    Attributes:
        train: `D`, the samples that the original is trained on.
        retain: `D_r`, the samples of `D` to keep; `retain` and `forget` partition `D`.
        forget: `D_f`, the samples of `D` to forget.
        val: `D_v`, or with a selection score one half of it; no original is trained on it.
        judge: for the selection score, images never seen, which are attacked like the forget set.
        judge_nonmembers: for the selection score, images never seen, the nonmembers that the attacks are fitted on.
        test_retain: test images of classes with retain samples.
        test_forget: test images of classes without retain samples.
        triggered: unseen images of other classes with a backdoor's trigger and the label of its class: test images, or with a
            selection score those kept for it; None where `D` has no backdoor.
        data_hash: hash of the images, `D` and `D_v`; originals carry it.
        split_hash: hash of `data_hash` and `D_f`; Retrain, unlearned models and results carry it.
        request: the record of the request, see `request.asked_for`.
    """

    train: Images
    retain: Images
    forget: Images
    val: Images
    judge: Images
    judge_nonmembers: Images
    test_retain: Images
    test_forget: Images
    data_hash: str
    split_hash: str
    request: Mapping[str, Any] = field(default_factory=dict)
    triggered: Images | None = None

    @property
    def wrong_labels(self) -> bool:
        """Whether the request says that the labels of the forget set are wrong."""
        return self.request.get("wrong_labels", False)

    @property
    def chosen(self) -> bool:
        """Whether a score chose the forget set, so that a model without it does not treat it like unseen images."""
        return "chosen_by" in self.request


def make_split(
    data: Data,
    scheme: Scheme,
    seed: int,
    selection: bool = False,
    *,
    val_from_test: float | None = None,
    hold_out: bool = True,
    forgotten: Collection[str] = (),
    corruption: Corruption | None = None,
    scores: Tensor | None = None,
) -> Split:
    """Split a data set. `D` and `D_v` depend on data and seed alone, not on the scheme.

    Args:
        data: the official sets.
        scheme: marks the samples to forget, see `request.asked_for`.
        seed: the seed of the split.
        selection: whether to halve `D_v`, classes in proportion, for a selection score (see `Split`).
        val_from_test: the share of the test set that becomes `D_v` and is not tested on; None if `D_v` comes from elsewhere.
        hold_out: whether `D_v` may be held out of the training set; False for a network that has seen all of it.
        forgotten: ids of samples of `D` that were forgotten before; they belong to `D_f` too.
        corruption: changes images or labels of `D` alone; None for none. If it has a trigger, its `triggered` shows it.
        scores: of each image of `D`, for a scheme that asks for them, see `Images.scores`.

    Raises:
        InputError: there is no sample to forget, none to retain, or no validation or test image.
    """
    kept, val, test = _validation(data, seed, val_from_test, hold_out)
    train = data.train if len(kept) == len(data.train) else data.train[kept]
    train = corruption(train, generator(seed, "corruption")) if corruption else train
    train = train if scores is None else replace(train, scores=scores)
    mask, request = asked_for(data.train, train, kept, scheme, seed, forgotten)
    request |= {"copies": find_copies(train, mask, val, test)}
    retain, forget = train[~mask], train[mask]
    kept_class = torch.isin(test.targets, retain.targets)
    test_retain, test_forget = test[kept_class], test[~kept_class]
    require(
        len(retain) > 0,
        "the scheme leaves no sample to retain: choose fewer classes in scheme.target, or a smaller scheme.fraction",
    )
    require(len(test_retain) > 0, "no test image belongs to a retained class: add images to the test set")
    changed = [train] if corruption else []
    data_hash = _digest(data.train, data.test, *([data.val] if data.val else []), *changed, ids=(train.ids, val.ids))
    split_hash = _digest(ids=((data_hash, *(["selection"] if selection else [])), forget.ids))
    rest, val = _halve(val, seed, "play") if selection else (val[torch.arange(0)], val)
    judge, judge_nonmembers = _halve(rest[torch.isin(rest.targets, retain.targets)], seed, "judge")
    require(
        not selection or len(judge) > 0,
        "selection=true needs at least 4 validation images of retained classes, as does reference=off with your own weights",
    )
    shown = getattr(corruption, "triggered", None)
    triggered = shown(rest if selection else test) if shown else None
    tests = test_retain, test_forget
    return Split(train, retain, forget, val, judge, judge_nonmembers, *tests, data_hash, split_hash, request, triggered)


def _halve(images: Images, seed: int, name: str) -> tuple[Images, Images]:
    """Two halves with the classes in proportion; the second has the odd sample."""
    return _part(images, stratified(images.targets, len(images) // 2, generator(seed, name)))


def _part(images: Images, index: Tensor) -> tuple[Images, Images]:
    """The images at an index, and the others."""
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[index] = True
    return images[chosen], images[~chosen]


def emptied_share(split: Split) -> float:
    """Share of the forget set whose class has no retain sample left: 1 if whole classes are forgotten, 0 if none is."""
    return float((~torch.isin(split.forget.targets, split.retain.targets)).double().mean())


def emptied_classes(split: Split) -> list[str]:
    """Names of the classes of `D` that have no retain sample left."""
    gone = set(split.train.targets.tolist()) - set(split.retain.targets.tolist())
    return [split.train.class_names[label] for label in sorted(gone)]


def _validation(data: Data, seed: int, val_from_test: float | None, hold_out: bool) -> tuple[Tensor, Images, Images]:
    """The indices of `D` in the training set, `D_v`, and the test images.

    `D_v` is the data set's own val set, a seeded part of the test set, or a tenth of every class of the training set.
    """
    everything = torch.arange(len(data.train))
    if data.val is not None:
        require(len(data.val) > 0, "the val set must hold at least one image, or leave it out")
        require(val_from_test is None, "val_from_test must be null for a data set with a val set of its own")
        return everything, data.val, data.test
    if val_from_test is not None:
        count = round(val_from_test * len(data.test))
        require(
            0 < count < len(data.test),
            f"val_from_test must take at least one test image and leave one; {val_from_test} takes {count} of {len(data.test)}",
        )
        val, test = _part(data.test, stratified(data.test.targets, count, generator(seed, "validation from test")))
        return everything, val, test
    require(
        hold_out,
        "original.checkpoint has seen all of the training set, so D_v must be other images: add a val/ folder that it never "
        "saw, or give val_from_test=0.5 (that share of the test set validates, and TA leaves it out)",
    )
    count = round(VAL_FRACTION * len(data.train))
    require(count > 0, f"a tenth of {len(data.train)} training images is not one image: use 10 or more, or add a val/ folder")
    held_out = torch.zeros(len(data.train), dtype=torch.bool)
    held_out[stratified(data.train.targets, count, generator(seed, "hold out"))] = True
    return (~held_out).nonzero().flatten(), data.train[held_out], data.test


def _digest(*sets: Images, ids: tuple[tuple[str, ...], ...]) -> str:
    """SHA-256 over pixels, labels, class names and lists of ids."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(repr((tuple(images.shape), images.class_names)).encode())
        for block in images.blocks():
            digest.update(block.contiguous().numpy().data)
        digest.update(images.targets.contiguous().numpy().data)
    for names in ids:
        digest.update("\n".join(names).encode(errors="surrogateescape") + b"\0")  # file names need not be UTF-8
    return digest.hexdigest()

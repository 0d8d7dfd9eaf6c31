"""The request: the samples that a run has to forget, from the scheme and from earlier runs, and a record of them."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.console import printable
from dau_lightning.base.error import require
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.images import Images
from dau_lightning.storage.seal import sha256

FIRST = 3  # samples that every run names
Scheme = Callable[[Images, torch.Generator], Tensor]


def asked_for(
    official: Images, train: Images, kept: Tensor, scheme: Scheme, seed: int, forgotten: Collection[str]
) -> tuple[Tensor, dict[str, Any]]:
    """The mask of `D_f`, which has the samples of all requests so far, and the record of this request.

    Args:
        official: the whole training set.
        train: `D`, the part of the training set that the original is trained on.
        kept: the indices of `D` in the training set.
        scheme: marks the samples to forget: in `official` if it has `names_samples`, otherwise in `D`.
        seed: the seed for the draws of the scheme.
        forgotten: ids of the samples of earlier requests.

    Returns:
        The mask, bool `(len(train),)`. The record: `count`, `classes`, `sha256` (of the ids) and `first` (some ids) of the
        samples that are new in `D_f`, the numbers of named samples that were `held_out` or `forgotten_before`, and what the
        scheme `found`.

    Raises:
        InputError: there is no sample to forget, or none that was not forgotten before.
    """
    before = _named(train, forgotten)
    if getattr(scheme, "names_samples", False):
        named = scheme(official, generator(seed, "scheme"))
        mask = named[kept]
        held_out = int(named.sum() - mask.sum())
    else:  # marks samples that are left, by other draws than earlier requests
        left = (~before).nonzero().flatten()
        rest, draws = (train[left], ("scheme", len(forgotten))) if forgotten else (train, ("scheme",))
        mask, held_out = torch.zeros_like(before), 0
        mask[left] = scheme(rest, generator(seed, *draws))
    new = mask & ~before
    require(
        bool(mask.any()) or not held_out,
        f"all {held_out} samples of the request are held out for validation and were never trained on: there is nothing to "
        "forget; take D_v from elsewhere, with a val/ folder or val_from_test",
    )
    require(bool(mask.any()), "the scheme marks no sample to forget: choose another scheme.target or a larger scheme.fraction")
    require(bool(new.any()), f"the {int(mask.sum())} samples of the request were all forgotten before")
    asked = train[new]
    counts = asked.targets.bincount(minlength=len(asked.class_names)).tolist()
    classes = {name: count for name, count in zip(asked.class_names, counts, strict=True) if count}
    new_ids = dict.fromkeys(asked.ids)
    listed = [name for name in getattr(scheme, "how", ()) if name in new_ids]  # in the order of the list
    first = [printable(name) for name in (listed or asked.ids)[:FIRST]]
    request = {"first": first, "count": len(asked), "classes": classes, "sha256": ids_hash(asked.ids), "held_out": held_out}
    return mask | before, request | {"forgotten_before": int((mask & before).sum()), **getattr(scheme, "found", {})}


def _named(train: Images, ids: Collection[str]) -> Tensor:
    """The mask of the samples with these ids.

    Raises:
        InputError: no sample has one of the ids.
    """
    known = set(ids)
    mask = torch.tensor([name in known for name in train.ids], dtype=torch.bool)
    require(
        int(mask.sum()) == len(known),
        f"{len(known) - int(mask.sum())} of the samples forgotten before are no longer in the training set",
    )
    return mask


def ids_hash(ids: Collection[str]) -> str:
    """SHA-256 of the sorted ids, so that their order does not matter."""
    return sha256("\n".join(sorted(ids)))


def by_class(counts: Mapping[str, int]) -> str:
    """The number of images of each class, as text."""
    return "class " + ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def described(request: Mapping[str, Any]) -> str:
    """A request as one line of text, for the user who made it."""
    classes = sorted(request["classes"].items(), key=lambda item: -item[1])
    some = by_class(dict(classes[:10])) + (", ..." if len(classes) > 10 else "")
    said = [f"request: {request['count']:,} images ({some})"]
    if "file" in request:
        where = f" where {request['where']}" if "where" in request else ""
        by = request["matched_by"] + (f", column {request['column']}" if "column" in request else "")
        said.append(f"{request['entries']:,} entries of {request['file']}{where} by {by}")
    notes = {
        "copies_added": "exact copies of named ones added",
        "duplicates": "named twice or more, merged",
        "held_out": "held out for validation and never trained on",
        "forgotten_before": "forgotten before",
    }
    said += [f"{request[name]:,} {words}" for name, words in notes.items() if request.get(name)]
    said += [f"chosen by {request['chosen_by']}"] if "chosen_by" in request else []
    said += ["their labels are wrong"] if request.get("wrong_labels") else []
    return "; ".join([*said, f"the first: {', '.join(request['first'])}"] if request.get("first") else said)

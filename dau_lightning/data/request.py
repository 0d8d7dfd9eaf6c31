"""What a run is asked to forget: the mask of a scheme, together with what was forgotten before, and a record of it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.error import require
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.images import Images
from dau_lightning.storage.seal import sha256

Scheme = Callable[[Images, torch.Generator], Tensor]


def asked_for(
    official: Images, train: Images, kept: Tensor, scheme: Scheme, seed: int, forgotten: Collection[str]
) -> tuple[Tensor, dict[str, Any]]:
    """The mask of `D_f`, all requests together, and what this one asked for.

    Args:
        official: the training set.
        train: `D`, the part of it that the original is trained on.
        kept: the indices of that part.
        scheme: what to forget; one that `names_samples` marks `official`.
        seed: of what the scheme draws.
        forgotten: ids of earlier requests.

    Returns:
        bool `(len(train),)`, and `count` and `classes` of what is new, the hash of its ids, how many samples were named and
        `held_out` or `forgotten_before`, and what the scheme `found`.

    Raises:
        InputError: nothing is to be forgotten, or nothing new.
    """
    before = _named(train, forgotten)
    if getattr(scheme, "names_samples", False):
        named = scheme(official, generator(seed, "scheme"))
        mask = named[kept]
        held_out = int(named.sum() - mask.sum())
    else:  # of what is left, and by another draw than before
        left = (~before).nonzero().flatten()
        rest, draws = (train[left], ("scheme", len(forgotten))) if forgotten else (train, ("scheme",))
        mask, held_out = torch.zeros_like(before), 0
        mask[left] = scheme(rest, generator(seed, *draws))
    new = mask & ~before
    require(
        bool(mask.any()) or not held_out,
        f"all {held_out} samples of the request are held out for validation and were never trained on: there is nothing to "
        "forget; choose D_v in another way, by a val/ folder or val_from_test",
    )
    require(bool(mask.any()), "the scheme marks no sample to forget: choose another scheme.target or a larger scheme.fraction")
    require(bool(new.any()), f"the {int(mask.sum())} samples of the request were all forgotten before")
    asked = train[new.nonzero().flatten()]
    counts = asked.targets.bincount(minlength=len(asked.class_names)).tolist()
    classes = {name: count for name, count in zip(asked.class_names, counts, strict=True) if count}
    request = {"count": len(asked), "classes": classes, "sha256": ids_hash(asked.ids), "held_out": held_out}
    return mask | before, request | {"forgotten_before": int((mask & before).sum()), **getattr(scheme, "found", {})}


def _named(train: Images, ids: Collection[str]) -> Tensor:
    """The mask of samples with some ids.

    Raises:
        InputError: an id of no sample.
    """
    known = set(ids)
    mask = torch.tensor([name in known for name in train.ids], dtype=torch.bool)
    require(
        int(mask.sum()) == len(known), f"{len(known) - int(mask.sum())} samples forgotten before are no training images now"
    )
    return mask


def ids_hash(ids: Collection[str]) -> str:
    """SHA-256 of ids, whatever their order."""
    return sha256("\n".join(sorted(ids)))


def by_class(counts: Mapping[str, int]) -> str:
    """How many images of which class, in words."""
    return "class " + ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def described(request: Mapping[str, Any]) -> str:
    """A request as a line for the person who made it."""
    classes = sorted(request["classes"].items(), key=lambda item: -item[1])
    some = by_class(dict(classes[:10])) + (", ..." if len(classes) > 10 else "")
    said = [f"request: {request['count']:,} images ({some})"]
    if "file" in request:
        where = f" where {request['where']}" if "where" in request else ""
        said.append(f"{request['entries']:,} entries of {request['file']}{where} by {request['matched_by']}")
    notes = {
        "duplicates": "named twice or more, merged",
        "held_out": "held out for validation and never trained on",
        "forgotten_before": "forgotten before",
    }
    return "; ".join(said + [f"{request[name]:,} {words}" for name, words in notes.items() if request.get(name)])

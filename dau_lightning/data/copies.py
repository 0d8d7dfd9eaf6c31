"""Exact copies: images with identical pixels on both sides of a border that the evaluation relies on."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from dau_lightning.base.console import printable
from dau_lightning.base.error import require
from dau_lightning.dataset.images import Data, Images

NAMED = 3  # pairs that are named
MEANING = {  # by the two parts
    "forget/retain": "exact copies of forgotten images stay in the training set, so what they show is not forgotten "
    "(scheme.with_copies=true takes them into the request)",
    "forget/val": "exact copies of forgotten images are in D_v, which should be unseen",
    "forget/test": "exact copies of forgotten images are in the test set, which should be unseen",
    "retain/val": "exact copies of retained images are in D_v, which should be unseen",
    "retain/test": "exact copies of retained images are in the test set, which should be unseen",
}


def refuse_training_set(data: Data) -> None:
    """Raise an `InputError` if the test set or the val set is the training set.

    Sets that repeat few images, such as blank ones, are let through: they may be equal by chance.
    """
    train = sorted(data.train.digests)
    if 2 * len(set(train)) <= len(train):
        return
    for name, images in (("test", data.test), ("val", data.val)):
        same = images is not None and len(images) == len(train) and sorted(images.digests) == train
        require(not same, f"the {name} set must be images that were not trained on, it has exactly those of the training set")


def find_copies(train: Images, mask: Tensor, val: Images, test: Images) -> dict[str, Any]:
    """The copies between parts of the data.

    Args:
        train: `D`.
        mask: marks `D_f` in `D`, bool `(N,)`.
        val: `D_v`.
        test: `D_t`.

    Returns:
        For pairs of parts such as `forget/test` that share pixels: `images`, the number of such images in the second part,
        and `first`, some pairs of ids.
    """
    forget, retain = dict[bytes, str](), dict[bytes, str]()
    for digest, name, forgotten in zip(train.digests, train.ids, mask.tolist(), strict=True):
        (forget if forgotten else retain).setdefault(digest, name)
    kept = ((train.digests[place], train.ids[place]) for place in (~mask).nonzero().flatten().tolist())
    sides: dict[str, Iterable[tuple[bytes, str]]] = {"forget/retain": kept}
    for name, part in (("val", val), ("test", test)):
        sides |= {f"{side}/{name}": list(zip(part.digests, part.ids, strict=True)) for side in ("forget", "retain")}
    found = {}
    for name, others in sides.items():
        known = forget if name.startswith("forget") else retain
        pairs = [[printable(known[digest]), printable(other)] for digest, other in others if digest in known]
        found |= {name: {"images": len(pairs), "first": pairs[:NAMED]}} if pairs else {}
    return found


def copy_warnings(request: Mapping[str, Any]) -> list[str]:
    """A warning for each pair of parts that share pixels, from the record of a request."""
    lines = []
    for name, found in request.get("copies", {}).items():
        some = ", ".join(f"{one} is also {other}" for one, other in found["first"])
        lines.append(f"{MEANING[name]}: {found['images']:,}, {some}{', ...' if found['images'] > NAMED else ''}")
    return lines

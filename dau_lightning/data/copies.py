"""Exact copies: images with identical pixels on both sides of a border that the evaluation relies on."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from dau_lightning.base.console import printable
from dau_lightning.base.error import require
from dau_lightning.dataset.images import Data, Images

NAMED = 3  # pairs that are named
MOST = 0.5  # share of a val or test set that may be copies of training images
FEW = 10  # different images below which blank ones, which are equal by chance, would weigh too much
MEANING = {  # by the two parts
    "forget/retain": "exact copies of forgotten images stay in the training set, so what they show is not forgotten",
    "forget/val": "exact copies of forgotten images are in D_v, which should be unseen",
    "forget/test": "exact copies of forgotten images are in the test set, which should be unseen",
    "retain/val": "exact copies of retained images are in D_v, which should be unseen",
    "retain/test": "exact copies of retained images are in the test set, which should be unseen",
}


def refuse_training_set(data: Data) -> None:
    """Raise an `InputError` if more than `MOST` of the different images of the test set or the val set were trained on.

    Of fewer than `FEW` different images, all must have been trained on, and two must have more than one colour. There is no
    way around it: with such a set, neither the game nor the numbers mean anything.
    """
    train = dict(zip(data.train.digests, data.train.ids, strict=True))
    for name, images in (("test", data.test), ("val", data.val)):
        different = dict(zip(images.digests, images.ids, strict=True)) if images is not None else {}
        copies = [f"{printable(other)} is {printable(train[d])}" for d, other in different.items() if d in train]
        many = len(different) >= FEW
        require(
            len(copies) <= MOST * len(different) if many else len(copies) < len(different) or _colourful(images) < 2,
            f"the {name} set must be images that were not trained on; {len(copies):,} of its {len(different):,} different "
            f"images are exact copies of training images ({', '.join(copies[:NAMED])}{', ...' * (len(copies) > NAMED)}): "
            "remove these copies from it, or give other images",
        )


def _colourful(images: Images | None) -> int:
    """The number of different images that have more than one colour."""
    if images is None:
        return 0
    painted = (images.images != images.images[:, :, :1, :1]).flatten(1).any(1).tolist()
    return len({digest for digest, colours in zip(images.digests, painted, strict=True) if colours})


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
    by_list = "matched_by" in request  # other schemes have no such setting
    offers = {"forget/retain": " (scheme.with_copies=true, from Python with_copies=True, forgets them too)"} if by_list else {}
    lines = []
    for name, found in request.get("copies", {}).items():
        some = ", ".join(f"{one} is also {other}" for one, other in found["first"])
        lines.append(
            f"{MEANING[name]}{offers.get(name, '')}: {found['images']:,}, {some}{', ...' if found['images'] > NAMED else ''}"
        )
    return lines

"""What a data set is here: labelled uint8 images, and how a class-balanced part of them is drawn."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        images: uint8 `(N, C, H, W)`.
        targets: int64 `(N,)`, each in `[0, len(class_names))`.
        class_names: one name a class, in the order of the targets.
        ids: one name an image, unique and stable between runs: a path relative to the root, or `train/00017`.
    """

    images: Tensor
    targets: Tensor
    class_names: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.targets)

    def __getitem__(self, index: Tensor) -> "Images":
        """The images at `index`, int64 `(M,)`, in that order."""
        return Images(self.images[index], self.targets[index], self.class_names, tuple(self.ids[i] for i in index.tolist()))


@dataclass(frozen=True)
class Data:
    """The official sets of a data set: train, test, and val where the data set brings one of its own."""

    train: Images
    test: Images
    val: Images | None = None


def balanced(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` samples drawn at random, as equally from every class as `count` and the classes' sizes allow.

    Every class gives `count // classes`; the rest goes one each to classes drawn at random. A class that has too few
    gives all it has and the others fill up.

    Args:
        targets: int64 `(N,)`.
        count: how many, in `[0, N]`.
        generator: the source of randomness.

    Returns:
        int64 `(count,)`, sorted.

    Raises:
        ValueError: `count` is outside `[0, N]`.
    """
    if not 0 <= count <= len(targets):
        raise ValueError(f"count must lie in [0, {len(targets)}], got {count}")
    shuffled = torch.randperm(len(targets), generator=generator)
    classes = targets[shuffled].unique()
    classes = classes[torch.randperm(len(classes), generator=generator)]
    # The k-th drawn sample of every class comes before the (k + 1)-th of any: the first `count` are balanced.
    rank, order = torch.empty_like(shuffled), torch.empty_like(shuffled)
    for position, label in enumerate(classes.tolist()):
        members = (targets[shuffled] == label).nonzero().flatten()
        rank[members] = torch.arange(len(members))
        order[members] = position
    return shuffled[torch.argsort(rank * len(classes) + order)[:count]].sort().values


def limited(images: Images, limit: int | None, generator: torch.Generator) -> Images:
    """A class-balanced part of at most `limit` images; all of them if `limit` is None or not smaller than their number."""
    if limit is None or limit >= len(images):
        return images
    return images[balanced(images.targets, limit, generator)]

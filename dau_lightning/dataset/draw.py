"""How a part of a data set is drawn: as many of every class, or every class in proportion."""

from collections.abc import Callable

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images


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
    return _first(targets, count, generator, lambda ranks, size: ranks)


def stratified(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` samples drawn at random, from every class in proportion to its size.

    For classes of one size the same as `balanced`. With less than half of all samples no class is emptied.

    Args:
        targets: int64 `(N,)`.
        count: how many, in `[0, N]`.
        generator: the source of randomness.

    Returns:
        int64 `(count,)`, sorted.

    Raises:
        ValueError: `count` is outside `[0, N]`.
    """
    return _first(targets, count, generator, lambda ranks, size: (ranks + 0.5) / size)


def _first(targets: Tensor, count: int, generator: torch.Generator, priority: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The `count` samples of lowest priority: a function of a sample's random rank in its class, and the class's size."""
    if not 0 <= count <= len(targets):
        raise ValueError(f"count must lie in [0, {len(targets)}], got {count}")
    shuffled = torch.randperm(len(targets), generator=generator)
    priorities = torch.empty(len(targets), dtype=torch.double)
    for label in targets.unique():
        members = (targets[shuffled] == label).nonzero().flatten()
        priorities[members] = priority(torch.arange(len(members)), len(members)).double()
    # A second shuffle breaks ties between classes at random: a stable sort keeps its order among equals.
    tie_break = torch.randperm(len(targets), generator=generator)
    order = tie_break[torch.argsort(priorities[tie_break], stable=True)]
    return shuffled[order[:count]].sort().values


def within_limit(targets: Tensor, limit: int | None, setting: str, generator: torch.Generator) -> Tensor:
    """Indices of a class-balanced part of at most `limit` samples; of all, if `limit` is None or not below their number.

    A limit above their number is said to limit nothing.

    Args:
        targets: int64 `(N,)`.
        limit: how many at most.
        setting: the limit's name on the command line, for the error.
        generator: the source of randomness; untouched when all are kept.

    Returns:
        int64 `(min(N, limit),)`, sorted.

    Raises:
        InputError: the limit is smaller than the number of classes among `targets`.
    """
    if limit is None or limit >= len(targets):
        if limit is not None and limit > len(targets):  # not refused: one command serves folders of any size
            print(f"warning: {setting}={limit} limits nothing, all {len(targets):,} images are kept")
        return torch.arange(len(targets))
    if limit < (classes := len(targets.unique())):
        raise InputError(f"{setting}: needs at least one image a class, {classes} classes, got {limit}")
    return balanced(targets, limit, generator)


def limited(images: Images, limit: int | None, setting: str, generator: torch.Generator) -> Images:
    """The images `within_limit`, whose arguments and error these are."""
    index = within_limit(images.targets, limit, setting, generator)
    return images if len(index) == len(images) else images[index]

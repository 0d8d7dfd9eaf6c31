"""Draws a part of a data set: equally many samples from every class, or from every class in proportion to its size."""

from collections.abc import Callable

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.images import Data, Images


def balanced(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` samples drawn at random, as equally from every class as `count` and the classes' sizes allow.

    `count // classes` samples come from every class; the remainder comes from classes drawn at random, one sample from each.
    A class with too few samples gives all of them, and other classes give more.

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

    If all classes have the same size, this is the same as `balanced`. If `count` is less than half of all samples, no class
    loses all of its samples.

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
    """The `count` samples of lowest priority, which depends on a sample's random rank in its class and on the class size."""
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
    """Indices of at most `limit` samples, balanced over classes; of all samples if `limit` is None or at least their number.

    A warning is printed if `limit` is above the number of samples.

    Args:
        targets: int64 `(N,)`.
        limit: the most samples to keep; None for all.
        setting: the name of the limit on the command line, for messages.
        generator: the source of randomness; not used if all samples are kept.

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
    """The images that `within_limit` keeps; for arguments and error see there."""
    index = within_limit(images.targets, limit, setting, generator)
    return images if len(index) == len(images) else images[index]


def limited_data(part: Callable[[str], Images], train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The parts `train` and `test` of a data set, each limited to `dataset.train_limit` and `dataset.test_limit` images.

    Args:
        part: returns the images of a part for its name.
        train_limit: see `within_limit`.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.

    Raises:
        InputError: a limit is smaller than the number of classes.
    """
    limits, draws = {"train": train_limit, "test": test_limit}, generator(seed, "limit")
    train, test = (limited(part(name), limit, f"dataset.{name}_limit", draws) for name, limit in limits.items())
    return Data(train, test)


def drawn_share(images: Images, share: float, generator: torch.Generator) -> Images:
    """Draw `round(share * N)` of the images, at least one, in random order."""
    return images[torch.randperm(len(images), generator=generator)[: max(1, round(share * len(images)))]]

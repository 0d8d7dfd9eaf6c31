"""Class-wise forgetting (section 4.3): every sample of one class, of several, or a fraction of each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.dataset.class_index import Class, class_index
from dau_lightning.dataset.images import Images


def classwise(
    train: Images,
    generator: torch.Generator,
    target: Class | Sequence[Class] | None,
    fraction: float | None = None,
    level: str | None = None,
) -> Tensor:
    """Mark the samples of one or several classes.

    Args:
        train: `D`, the training set of the original model.
        generator: the source of randomness.
        target: the class, by index or by name, or several classes; None to draw one.
        fraction: share of each class to forget, at least one sample, in (0, 1); None for the whole class.
        level: the level of labels in which `target` names classes, if the data set has several (`fine`, `coarse`); None for
            the level that the network learns. With `fine`, a network of coarse classes can forget a part of one.

    Returns:
        bool `(N,)`, true for the samples to forget.

    Raises:
        InputError: there is no such class or level.
    """
    targets, names = _labels(train, level)
    if target is None:
        target = int(torch.randint(len(names), (), generator=generator))
    several = [target] if isinstance(target, int | str) else list(target)
    mask = torch.zeros(len(train), dtype=torch.bool)
    for label in sorted({class_index(names, each, "scheme.target") for each in several}):
        members = (targets == label).nonzero().flatten()
        if fraction is not None:
            members = members[torch.randperm(len(members), generator=generator)[: max(1, round(fraction * len(members)))]]
        mask[members] = True
    return mask


def _labels(train: Images, level: str | None) -> tuple[Tensor, tuple[str, ...]]:
    """The labels of a level and their names."""
    if level is None:
        return train.targets, train.class_names
    if level not in train.levels:
        levels = " or ".join(train.levels) if train.levels else "null: the data set has labels of one level"
        raise InputError(f"scheme.level must be {levels}; got {level!r}")
    return train.levels[level]

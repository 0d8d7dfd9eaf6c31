"""Class-wise forgetting (section 4.3): every sample of one class."""

import difflib

import torch
from torch import Tensor

from dau_lightning.dataset import Images
from dau_lightning.error import InputError


def classwise(train: Images, generator: torch.Generator, target: int | str | None) -> Tensor:
    """Mark every sample of one class.

    Args:
        train: `D`, the training set of the original model.
        generator: the source of randomness.
        target: the class, by index or by name; None draws it.

    Returns:
        bool `(N,)`, true for the samples to forget.

    Raises:
        InputError: there is no such class.
    """
    if target is None:
        target = int(torch.randint(len(train.class_names), (), generator=generator))
    return train.targets == _class_index(train.class_names, target)


def _class_index(class_names: tuple[str, ...], target: int | str) -> int:
    """The index of a class; a name wins over an index, so that a class called "7" can be named."""
    if str(target) in class_names:
        return class_names.index(str(target))
    if isinstance(target, int) and 0 <= target < len(class_names):
        return target
    near = difflib.get_close_matches(str(target), class_names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    some = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
    raise InputError(
        f"scheme.target must be a class index in [0, {len(class_names) - 1}] or one of {some}; got {target!r}{hint}"
    )

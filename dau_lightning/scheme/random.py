"""Random forgetting (section 4.3): a fraction of the training set, any class."""

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images


def random(train: Images, generator: torch.Generator, fraction: float | None) -> Tensor:
    """Draw `round(fraction * N)` samples, at least one, uniformly.

    Args:
        train: `D`, the training set of the original model.
        generator: the source of randomness.
        fraction: share of `D` to forget, in the open interval (0, 1).

    Returns:
        bool `(N,)`, true for the samples to forget.

    Raises:
        InputError: `fraction` is out of range, or a class would keep no sample.
    """
    if fraction is None or not 0 < fraction < 1:
        raise InputError(
            f"scheme.fraction must be a number above 0 and below 1, got {'null' if fraction is None else fraction}"
        )
    mask = torch.zeros(len(train), dtype=torch.bool)
    mask[torch.randperm(len(train), generator=generator)[: max(1, round(fraction * len(train)))]] = True
    emptied = sorted(set(train.targets.tolist()) - set(train.targets[~mask].tolist()))
    if emptied:
        names = ", ".join(train.class_names[label] for label in emptied[:5])
        raise InputError(f"scheme.fraction must leave every class a sample to retain, {fraction} takes all of {names}")
    return mask

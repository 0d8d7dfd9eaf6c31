"""Random forgetting (section 4.3): a fraction of the training set, any class."""

import torch
from torch import Tensor

from dau_lightning.dataset.images import Images
from dau_lightning.scheme.ranked import share_of


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
    return share_of(train, torch.randperm(len(train), generator=generator), fraction)

"""Forgetting the samples that the original is surest of: the share of `D` with the largest margin."""

from typing import Any

import torch
from torch import Tensor

from dau_lightning.dataset.images import Images
from dau_lightning.scheme.ranked import ranked


class Confident:
    """Marks the share of `D` with the largest margin `log p_y - log(1 - p_y)` of the original.

    A model that never saw these samples is right on most of them too, so that there is little to forget.

    Args:
        fraction: share of `D` to forget, in the open interval (0, 1).
    """

    references = 0  # it asks for the original's margins

    def __init__(self, fraction: float | None) -> None:
        self.fraction = fraction
        self.found: dict[str, Any] = {"chosen_by": "the largest margins of the original"}
        self.how: dict[str, str] = {}  # by the id of a marked sample, its margin

    def __call__(self, train: Images, generator: torch.Generator) -> Tensor:
        """Mark the samples: bool `(N,)`.

        Raises:
            InputError: the fraction is out of range, or a class would keep no sample.
            ValueError: the images have no scores.
        """
        mask, self.how = ranked(train, self.fraction, largest=True)
        return mask

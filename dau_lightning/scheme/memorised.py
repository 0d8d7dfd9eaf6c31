"""Forgetting the samples that the original knows by heart: the share of `D` with the largest memorisation score."""

from typing import Any

import torch
from torch import Tensor

from dau_lightning.dataset.images import Images
from dau_lightning.scheme.ranked import ranked


class Memorised:
    """Marks the share of `D` with the largest memorisation score.

    Without references: the samples with the smallest margin `log p_y - log(1 - p_y)` of the original, a proxy that costs
    nothing, since atypical samples stay the least sure ones (Zhao & Triantafillou 2024, arXiv 2410.16516, by confidence).
    With references, what the score is in Feldman (2020, arXiv 1906.05271), with `p_y` in place of the accuracy: the mean
    `p_y` of the models that were trained on the sample minus that of those that were not.

    Args:
        fraction: share of `D` to forget, in the open interval (0, 1).
        references: number of reference models, each trained on a random half of `D`, an even number; 0 for the proxy.
    """

    def __init__(self, fraction: float | None, references: int) -> None:
        self.fraction, self.references = fraction, references
        by = (
            f"the memorisation score of {references} reference models" if references else "the smallest margins of the original"
        )
        self.found: dict[str, Any] = {"chosen_by": by}
        self.how: dict[str, str] = {}  # by the id of a marked sample, its score

    def __call__(self, train: Images, generator: torch.Generator) -> Tensor:
        """Mark the samples: bool `(N,)`.

        Raises:
            InputError: the fraction is out of range, or a class would keep no sample.
            ValueError: the images have no scores.
        """
        mask, self.how = ranked(train, self.fraction, largest=self.references > 0)
        return mask

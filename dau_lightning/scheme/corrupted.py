"""Forgetting the samples whose image or label the corruption of the run changed."""

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images


class Corrupted:
    """Marks what the corruption marked.

    Args:
        wrong_labels: whether the labels of these samples are wrong, so that the unlearned model should not predict them.
    """

    def __init__(self, wrong_labels: bool) -> None:
        self.found = {"wrong_labels": True} if wrong_labels else {}

    def __call__(self, train: Images, generator: torch.Generator) -> Tensor:
        """Mark the samples: bool `(N,)`.

        Raises:
            InputError: the run has no corruption.
        """
        if train.corrupted is None:
            raise InputError(
                "scheme=corrupted needs a corruption: add corruption=wrong_labels or backdoor, or choose another scheme"
            )
        return train.corrupted.clone()

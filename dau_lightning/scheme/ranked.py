"""What schemes that forget a share of `D` have in common: how many samples, and that every class keeps some."""

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images


def share_of(train: Images, order: Tensor, fraction: float | None) -> Tensor:
    """Mark the first `round(fraction * N)` samples of an order, at least one.

    Args:
        train: `D`, the training set of the original model.
        order: indices of all samples, int64 `(N,)`.
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
    mask[order[: max(1, round(fraction * len(train)))]] = True
    emptied = sorted(set(train.targets.tolist()) - set(train.targets[~mask].tolist()))
    if emptied:
        names = ", ".join(train.class_names[label] for label in emptied[:5])
        raise InputError(f"scheme.fraction must leave every class a sample to retain, {fraction} takes all of {names}")
    return mask


def ranked(train: Images, fraction: float | None, largest: bool) -> tuple[Tensor, dict[str, str]]:
    """Mark the share of `D` with the largest or smallest `Images.scores`.

    Args:
        train: `D`, with its scores.
        fraction: see `share_of`.
        largest: whether to take the largest scores.

    Returns:
        The mask, bool `(N,)`; by the id of a marked sample, the first in the order first, its score as text.

    Raises:
        InputError: see `share_of`.
        ValueError: there are no scores.
    """
    if train.scores is None:
        raise ValueError("train must have scores: give make_split those of run/scores.py")
    order = train.scores.sort(descending=largest, stable=True).indices
    mask = share_of(train, order, fraction)
    return mask, {train.ids[place]: f"by its score {train.scores[place]:.3f}" for place in order[: int(mask.sum())].tolist()}

"""Wrong labels: a share of `D` gets the label of another class."""

from dataclasses import replace

import torch
from torch import Tensor

from dau_lightning.base.error import require
from dau_lightning.dataset.images import Images


def wrong_labels(train: Images, generator: torch.Generator, share: float) -> Images:
    """Change `round(share * N)` labels, at least one; every other class is equally likely.

    Args:
        train: `D`.
        generator: the source of randomness.
        share: of `D`, in (0, 1].

    Returns:
        `D` with the changed labels, which `corrupted` marks.

    Raises:
        InputError: there is only one class.
    """
    classes = len(train.class_names)
    require(classes > 1, "corruption=wrong_labels needs at least two classes: choose corruption=none")
    places = torch.randperm(len(train), generator=generator)[: max(1, round(share * len(train)))]
    corrupted = torch.zeros(len(train), dtype=torch.bool)
    corrupted[places] = True
    targets = train.targets.clone()
    targets[places] = shifted(targets[places], classes, generator)
    return replace(train, targets=targets, corrupted=corrupted)


def shifted(targets: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Labels of other classes in place of `targets`, int64 `(N,)` of `classes` classes; each is equally likely."""
    shift = torch.randint(1, classes, targets.shape, generator=generator)
    return (targets + shift.to(targets.device)) % classes

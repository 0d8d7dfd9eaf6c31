"""Reference models: trained by the original's recipe on some images of `D`, such as random halves of it."""

from dataclasses import replace

import torch
from torch import Tensor

from dau_lightning.base.randomness import generator
from dau_lightning.data.request import ids_hash
from dau_lightning.data.split import Split
from dau_lightning.dataset.draw import stratified
from dau_lightning.dataset.images import Images
from dau_lightning.storage.seal import sha256
from dau_lightning.training.sgd import SGDMethod


class Reference(SGDMethod):
    """SGD by the original's recipe on some images of `D`."""

    label = "Reference"
    phase = "reference"
    from_scratch = True


def halves(targets: Tensor, count: int, *name: object) -> list[Tensor]:
    """Bool masks `(N,)` of `count` random halves of samples, every second one the complement of the one before.

    Classes are halved too. In an even number of halves each sample is in exactly half of them.

    Args:
        targets: int64 `(N,)`.
        count: number of halves.
        name: keys the draws.
    """
    masks: list[Tensor] = []
    for pair in range(-(-count // 2)):
        mask = torch.zeros(len(targets), dtype=torch.bool)
        mask[stratified(targets, len(targets) // 2, generator(*name, pair))] = True
        masks += [mask, ~mask]
    return masks[:count]


def reference_split(split: Split, images: Images) -> Split:
    """The split of a reference model that is trained on some images of `D`."""
    return replace(split, retain=images, split_hash=sha256(split.data_hash, ids_hash(images.ids)))

"""CoUn (Khalil et al. 2025): train on the retain set, with a contrastive loss between two views of its images."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod


class CoUn(SGDMethod):
    """SGD on `CE(view 1) + w InfoNCE(view 1, view 2)` over the retain set; `baseline/term=[contrastive]` adds it to others.

    A view is a crop and flip of the image by the transform of the run; without crops and flips both views are the image.
    The views pass through the network one after another, so each has its own batch-norm statistics; with
    `batch_norm="update"` both move the running ones to those of `D_r`.

    Args:
        contrastive_weight: `w`.
        temperature: see `info_nce`.
        settings: see `SGDMethod`.
    """

    label = "CoUn"

    def __init__(self, *, contrastive_weight: float, temperature: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.contrastive_weight, self.temperature = contrastive_weight, temperature

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`CE(view 1) + w InfoNCE(view 1, view 2)`."""
        images, targets = batch["retain"]
        logits, first = map(gather_shares, self.defender(images))
        cross_entropy = F.cross_entropy(logits.float(), gather_shares(targets))
        contrastive = info_nce(first.float(), features(self, self.second_view("retain")), self.temperature)
        self.log_values(cross_entropy=cross_entropy, contrastive_loss=contrastive)
        return cross_entropy + self.contrastive_weight * contrastive


def features(module: SGDMethod, batch: Batch) -> Tensor:
    """The defender's features for the whole batch of which this device has a share, float32 `(B, D)`."""
    return gather_shares(module.defender(batch.images)[1].float())


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """`-mean log(exp(s_ii / t) / sum_j exp(s_ij / t))`, `s` the cosines of all pairs, plus the same with the views exchanged.

    Args:
        first: features of one view, `(B, D)`.
        second: features of the other view of the same images, `(B, D)`; those of other images are the negatives.
        temperature: t.

    Returns:
        A scalar in nats; `2 log B` where all features are equal.

    >>> import torch
    >>> info_nce(torch.ones(2, 3), torch.ones(2, 3), 0.1)
    tensor(1.3863)
    """
    cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
    pairs = torch.arange(len(cosines), device=cosines.device)
    return F.cross_entropy(cosines, pairs) + F.cross_entropy(cosines.T, pairs)

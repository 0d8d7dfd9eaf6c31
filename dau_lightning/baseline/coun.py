"""CoUn (Khalil et al. 2025): train on the retain set, with a contrastive loss between two views of its images."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.training.mode import float32
from dau_lightning.training.sgd import SGDMethod


class CoUn(SGDMethod):
    """SGD on `CE(view 1) + w InfoNCE(view 1, view 2)` over the retain set; `baseline/term=[contrastive]` adds it to others.

    View 1 is the batch as the run augments it, if it does; view 2 is a random crop of the image, and flipped or not. The
    views pass through the network one after another, so each has its own batch-norm statistics; with
    `batch_norm="update"` both move the running ones to those of `D_r`.

    Args:
        contrastive_weight: `w`.
        temperature: see `info_nce`.
        view_padding: `crop_padding` of view 2, see `Transform.second_view`.
        view_flip: `flip` of view 2, likewise.
        settings: see `SGDMethod`.
    """

    label = "CoUn"

    def __init__(
        self,
        *,
        contrastive_weight: float,
        temperature: float,
        view_padding: int | None,
        view_flip: bool | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.contrastive_weight, self.temperature, self.view = contrastive_weight, temperature, (view_padding, view_flip)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`CE(view 1) + w InfoNCE(view 1, view 2)`."""
        images, targets = batch["retain"]
        logits, first = map(gather_shares, self.defender(images))
        cross_entropy = F.cross_entropy(logits.float(), gather_shares(targets))
        contrastive = info_nce(first.float(), features(self, self.second_view("retain", *self.view)), self.temperature)
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
        A scalar in nats, computed without autocast; `2 log B` where all features are equal.

    >>> import torch
    >>> info_nce(torch.ones(2, 3), torch.ones(2, 3), 0.1)
    tensor(1.3863)
    """
    with float32(first.device):  # cosines in bf16 have steps of 0.004, divided by the temperature
        cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
        pairs = torch.arange(len(cosines), device=cosines.device)
        return F.cross_entropy(cosines, pairs) + F.cross_entropy(cosines.T, pairs)

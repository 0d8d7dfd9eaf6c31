"""l1-sparse (Jia et al. 2023): train on the retain set with an l1 penalty on the weights that fades out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.sgd import SGDMethod


class L1Sparse(SGDMethod):
    """SGD on `CE(D_r) + a_t norm1(theta)`, `a_t = a (1 - e / E)` in epoch e, counted from 0, and 0 from epoch E on.

    The norm is that of all parameters, batch-norm's and biases included. The weights get small; none is pruned.

    Args:
        l1_weight: `a`.
        l1_epochs: `E`; null for all epochs.
        settings: see `SGDMethod`; `batch_norm="update"` moves the running statistics to those of `D_r`.
    """

    label = "l1-sparse"

    def __init__(self, *, l1_weight: float, l1_epochs: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.l1_weight, self.l1_epochs = l1_weight, l1_epochs or self.epochs

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`CE(D_r) + a_t norm1(theta)`."""
        loss = super().loss(batch)
        weight = self.l1_weight * max(0.0, 1 - self.trainer.current_epoch / self.l1_epochs)  # a_t
        if weight == 0:
            return loss
        norm = torch.stack([parameter.abs().sum() for parameter in self.defender.parameters()]).sum()
        self.log_values(l1_weight=weight, l1_norm=norm)
        return loss + weight * norm

"""Regularisers `V_ss` on features (section 3.4): functions from forget, val and retain features to a scalar, float32.

Forget and val features, `(B, D)`, are paired by position; retain features are `(R, D)`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.losses import redundancy_loss
from dau_lightning.training.mode import float32

Regulariser = Callable[[Tensor, Tensor, Tensor], Tensor]


class NoRegulariser:
    """No regulariser; `DAU` recognises this class and takes beta as 0."""

    def __call__(self, forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        """Zero, whatever the features."""
        return forget.new_zeros(())


def redundancy_reduction(forget: Tensor, val: Tensor, retain: Tensor, off_diagonal_weight: float) -> Tensor:
    """Eq. 2, see `losses.redundancy_loss`; retain features are not used."""
    return redundancy_loss(forget, val, off_diagonal_weight)


def vicreg(forget: Tensor, val: Tensor, retain: Tensor, invariance: float, variance: float, covariance: float) -> Tensor:
    """VICReg, Algorithm 1 of Bardes et al. 2021; retain features are not used.

    Args:
        forget: features, `(B, D)`.
        val: features, `(B, D)`.
        retain: features, `(R, D)`.
        invariance: weight of the mean squared distance of the pairs.
        variance: weight of `mean_i max(0, 1 - sqrt(Var z_i + 1e-4))`, summed over forget and val features.
        covariance: weight of `sum_{i != j} Cov(z_i, z_j)^2 / D`, summed over forget and val features.
    """
    with float32(forget.device):
        forget, val = forget.float(), val.float()
        loss = invariance * F.mse_loss(forget, val)
        for features in (forget, val):
            matrix = features.T.cov().reshape(features.shape[1], -1)  # of one feature, cov gives a scalar
            spread = (matrix.diagonal() + 1e-4).sqrt()
            redundant = matrix.square().sum() - matrix.diagonal().square().sum()
            loss = loss + variance * F.relu(1 - spread).mean() + covariance * redundant / features.shape[1]
        return loss


def contrastive(forget: Tensor, val: Tensor, retain: Tensor, temperature: float) -> Tensor:
    """Pulls forget features to their paired val features, away from retain features (section 3.4; Chen et al. 2020).

    Args:
        forget: the anchors, `(B, D)`.
        val: the positives, `(B, D)`.
        retain: the negatives of every anchor, `(R, D)`.
        temperature: t, which divides the cosines.

    Returns:
        `-log(exp(cos(f, v) / t) / (exp(cos(f, v) / t) + sum_r exp(cos(f, r) / t)))`, mean over the anchors, in nats.
    """
    with float32(forget.device):
        forget, val, retain = (F.normalize(features.float(), dim=1) for features in (forget, val, retain))
        cosines = torch.cat([(forget * val).sum(1, keepdim=True), forget @ retain.T], 1)
        return F.cross_entropy(cosines / temperature, torch.zeros(len(forget), dtype=torch.int64, device=forget.device))

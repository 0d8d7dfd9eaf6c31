"""Projectors: networks between features and regulariser (section 3.4)."""

import torch
from torch import Tensor, nn

from dau_lightning.game.regulariser import Regulariser


def mlp(num_features: int, width: int) -> nn.Module:
    """Features `(B, D)` to `(B, width)`, as in Zbontar et al. 2021 but with two layers."""
    hidden = nn.Linear(num_features, width, bias=False)
    return nn.Sequential(hidden, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width, bias=False))


class ProjectedRegulariser(nn.Module):
    """A regulariser of projected features.

    Args:
        projector: trained with the defender, and not kept.
        regulariser: see `regulariser`.
    """

    def __init__(self, projector: nn.Module, regulariser: Regulariser) -> None:
        super().__init__()
        self.projector, self.regulariser = projector, regulariser

    def forward(self, *features: Tensor) -> Tensor:
        """A scalar, from forget, val and retain features, which are one batch of the projector's batch-norm."""
        projected = self.projector(torch.cat(features))
        return self.regulariser(*projected.split([len(part) for part in features]))

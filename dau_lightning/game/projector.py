"""Projectors: networks that map features before the regulariser sees them (section 3.4)."""

import torch
from torch import Tensor, nn

from dau_lightning.game.regulariser import Regulariser


def mlp(num_features: int, width: int) -> nn.Module:
    """A projector from features `(B, D)` to `(B, width)`, as in Zbontar et al. 2021 but with two layers."""
    hidden = nn.Linear(num_features, width, bias=False)
    return nn.Sequential(hidden, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width, bias=False))


class ProjectedRegulariser(nn.Module):
    """A regulariser that is applied to projected features.

    Args:
        projector: the projector, trained with the defender and dropped at the end.
        regulariser: a function of forget, val and retain features, see `regulariser.py`.
    """

    def __init__(self, projector: nn.Module, regulariser: Regulariser) -> None:
        super().__init__()
        self.projector, self.regulariser = projector, regulariser

    def forward(self, *features: Tensor) -> Tensor:
        """A scalar, from forget, val and retain features; the projector's batch-norm sees them as one batch."""
        projected = self.projector(torch.cat(features))
        return self.regulariser(*projected.split([len(part) for part in features]))

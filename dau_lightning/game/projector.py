"""Projectors between features and regulariser (section 3.4)."""

from torch import nn


def mlp(num_features: int, width: int) -> nn.Module:
    """A projector of features `(B, D)` to `(B, width)`, as in Zbontar et al. 2021 with two layers."""
    hidden = nn.Linear(num_features, width, bias=False)
    return nn.Sequential(hidden, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width, bias=False))

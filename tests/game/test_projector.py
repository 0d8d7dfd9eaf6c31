import torch
from torch import nn

from dau_lightning.game.projector import mlp


def test_mlp_projects_features() -> None:
    projector = mlp(4, width=6)
    assert projector(torch.randn(5, 4)).shape == (5, 6)
    assert [type(layer) for layer in projector] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]

import torch

from dau_lightning.network import convnet
from dau_lightning.network.defender import Defender


def test_convnet_has_the_stated_size_and_width() -> None:
    defender = Defender(convnet(10, width=32))
    assert sum(parameter.numel() for parameter in defender.parameters()) == 56_554
    logits, features = defender(torch.randn(3, 1, 8, 8))
    assert (logits.shape, features.shape) == ((3, 10), (3, 64))

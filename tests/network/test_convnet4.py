import torch

from dau_lightning.network import convnet4
from dau_lightning.network.defender import Defender


def test_convnet4_has_the_stated_size_and_width() -> None:
    defender = Defender(convnet4(10, width=32))
    assert sum(parameter.numel() for parameter in defender.parameters()) == 65_834
    logits, features = defender(torch.randn(3, 1, 14, 14))
    assert (logits.shape, features.shape) == ((3, 10), (3, 64))

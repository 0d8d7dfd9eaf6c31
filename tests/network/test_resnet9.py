import torch

from dau_lightning.network import resnet9
from dau_lightning.network.defender import Defender


def test_resnet9_has_the_stated_size_and_width() -> None:
    defender = Defender(resnet9(10))
    assert sum(parameter.numel() for parameter in defender.parameters()) == 412_954
    logits, features = defender(torch.randn(3, 3, 32, 32))
    assert (logits.shape, features.shape) == ((3, 10), (3, 128))

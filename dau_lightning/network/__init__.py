"""Networks, and the defender that wraps any of them to return logits and features."""

from dau_lightning.network.convnet import convnet
from dau_lightning.network.convnet4 import convnet4
from dau_lightning.network.resnet9 import resnet9
from dau_lightning.network.resnet18 import resnet18

__all__ = ["convnet", "convnet4", "resnet9", "resnet18"]

"""The paper's defender: ResNet-18 for images of 32x32 (He et al. 2016)."""

from typing import cast

import torchvision
from torch import nn


def resnet18(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Torchvision's ResNet-18, changed for 32x32 images: its first layer is 3x3 with stride 1, without max-pooling after it."""
    network = torchvision.models.resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = cast(nn.MaxPool2d, nn.Identity())
    return network

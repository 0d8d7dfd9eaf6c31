"""A small residual network for images of 32x32: 0.41 million parameters at width 16."""

from torch import nn

from dau_lightning.network.block import Residual, convolution, halving


def resnet9(num_classes: int, in_channels: int = 3, width: int = 16) -> nn.Module:
    """A small residual network for 32x32 images; `width` channels after the first layer, eight times as many at the end."""
    return nn.Sequential(
        convolution(in_channels, width),
        *halving(width, 2 * width),
        Residual(2 * width),
        *halving(2 * width, 4 * width),
        *halving(4 * width, 8 * width),
        Residual(8 * width),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, num_classes),
    )

"""Three convolutions, for images of about 8x8: 14,000 parameters at width 16."""

from torch import nn

from dau_lightning.network.block import convolution, halving


def convnet(num_classes: int, in_channels: int = 1, width: int = 32) -> nn.Module:
    """Three convolutions with one halving, for images of about 8x8."""
    return nn.Sequential(
        convolution(in_channels, width),
        *halving(width, 2 * width),
        convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )

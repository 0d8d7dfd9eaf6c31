"""Four convolutions, for grey images of about 14x14: 66,000 parameters at width 32."""

from torch import nn

from dau_lightning.network.block import convolution, halving


def convnet4(num_classes: int, in_channels: int = 1, width: int = 32) -> nn.Module:
    """Four convolutions with two halvings; `2 * width` features."""
    return nn.Sequential(
        convolution(in_channels, width),
        *halving(width, width),
        convolution(width, 2 * width),
        *halving(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )

"""Blocks of which the small networks are built."""

from torch import Tensor, nn


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution of 3x3, batch-norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def halving(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """A convolution and max-pooling. The ReLU, which commutes with max-pooling, comes last and sees a quarter of the values."""
    *linear, relu = convolution(inputs, outputs)
    return nn.Sequential(*linear), nn.Sequential(nn.MaxPool2d(2), relu)


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(width, width), convolution(width, width))

    def forward(self, images: Tensor) -> Tensor:
        """Add the input and the output of the convolutions."""
        return images + self.body(images)

"""What the small networks are built of."""

from torch import Tensor, nn


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution of 3x3, batch-norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def halving(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """A convolution and max-pooling; the ReLU, which changes no order, comes last and sees a quarter of the numbers."""
    *linear, relu = convolution(inputs, outputs)
    return nn.Sequential(*linear), nn.Sequential(nn.MaxPool2d(2), relu)


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(width, width), convolution(width, width))

    def forward(self, images: Tensor) -> Tensor:
        """Add the two."""
        return images + self.body(images)

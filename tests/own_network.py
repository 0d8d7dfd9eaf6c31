"""Networks of somebody's own, as tests name them in `network._target_`."""

from torch import Tensor, nn


class Plain(nn.Module):
    """A class of one's own that takes neither classes nor channels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).flatten(1))


class Wide(Plain):
    """One that takes classes and a setting."""

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.body[0] = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, num_classes)

"""Defenders: networks for small images, and the wrapper that gives logits and features of any of them (section 3.2)."""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
import torchvision
from torch import Tensor, nn

from dau_lightning.error import InputError


class Defender(nn.Module):
    """A classifier that also returns its features: the input of its last linear layer, which gives `num_classes` logits.

    Args:
        network: any module that maps images `(B, C, H, W)` to logits `(B, K)`.

    Raises:
        InputError: the network has no linear layer.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise InputError(f"network must end in a linear layer, {type(network).__name__} has none")
        self.num_features, self.num_classes = linear[-1].in_features, linear[-1].out_features
        self.mask: Mapping[str, Tensor] = {}  # see `hold`
        linear[-1].register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images float `(B, C, H, W)` to logits `(B, K)` and features `(B, D)`."""
        logits = self.network(images)
        features, self._features = self._features, None
        return logits, cast(Tensor, features).flatten(1)

    def hold(self, mask: Mapping[str, Tensor]) -> None:
        """Prune the weights that a mask leaves out, from now on: bool tensors by name of the network's parameters."""
        self.mask = mask
        self.prune()

    @torch.no_grad()
    def prune(self) -> None:
        """Set the weights that the mask leaves out to exactly zero; to be called after every change of weights."""
        for weight, kept in self._masked():
            weight.masked_fill_(~kept, 0.0)

    def holds_mask(self) -> bool:
        """Whether every weight that the mask leaves out is exactly zero."""
        return not any(bool(weight[~kept].any()) for weight, kept in self._masked())

    def _masked(self) -> Iterator[tuple[Tensor, Tensor]]:
        for name, kept in self.mask.items():
            weight = self.network.get_parameter(name)
            yield weight, kept.to(weight.device)


def resnet18(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Torchvision's ResNet-18 for 32x32 images: 3x3 stem of stride 1 and no max-pooling (He et al. 2016)."""
    network = torchvision.models.resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = cast(nn.MaxPool2d, nn.Identity())
    return network


def resnet9(num_classes: int, in_channels: int = 3, width: int = 16) -> nn.Module:
    """A small residual network for 32x32 images; `width` channels after the stem, eight times as many at the end."""
    return nn.Sequential(
        _convolution(in_channels, width),
        *_halving(width, 2 * width),
        _Residual(2 * width),
        *_halving(2 * width, 4 * width),
        *_halving(4 * width, 8 * width),
        _Residual(8 * width),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, num_classes),
    )


def convnet(num_classes: int, in_channels: int = 1, width: int = 32) -> nn.Module:
    """Three convolutions with one halving, for images of about 8x8."""
    return nn.Sequential(
        _convolution(in_channels, width),
        *_halving(width, 2 * width),
        _convolution(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )


def mlp(num_features: int, width: int) -> nn.Module:
    """A projector of features `(B, D)` to `(B, width)`, as in Zbontar et al. 2021 with two layers."""
    hidden = nn.Linear(num_features, width, bias=False)
    return nn.Sequential(hidden, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width, bias=False))


def _convolution(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _halving(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """A convolution and max-pooling; the ReLU, which changes no order, comes last and sees a quarter of the numbers."""
    *linear, relu = _convolution(inputs, outputs)
    return nn.Sequential(*linear), nn.Sequential(nn.MaxPool2d(2), relu)


class _Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.body(images)


def finite(module: nn.Module) -> bool:
    """Whether every parameter and buffer is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values())

"""One step of SGD, or gradients of single samples, by autograd alone: for tests of methods against their equations."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

FULL = {"batch_size": 36, "forget_batch_size": 12, "epochs": 1, "momentum": 0.0, "weight_decay": 0.0}  # a step an epoch


def inputs(tiny: Any, part: str) -> tuple[Tensor, Tensor]:
    """All inputs and targets of a part, in order."""
    images = getattr(tiny.split(), part)
    return tiny.transform.normalise(images.images), images.targets


def descended(network: nn.Module, loss: Callable[[nn.Module], Tensor], lr: float) -> list[Tensor]:
    """The parameters after one plain step down a loss."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss(network), parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    return [(weight if step is None else weight - lr * step).detach() for weight, step in pairs]


def sample_gradients(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Each sample's gradient of the cross-entropy in evaluation mode, by a backward pass for each, float64 `(N, P)`."""
    network = copy.deepcopy(network).double().eval()
    samples = zip(images.double().split(1), targets.split(1), strict=True)
    losses = [cross_entropy(network(image), target) for image, target in samples]
    rows = [torch.autograd.grad(loss, list(network.parameters())) for loss in losses]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def assert_equal(found: Iterable[Tensor], expected: Iterable[Tensor]) -> None:
    """Parameters are those expected, up to rounding."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-4, atol=1e-6)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`-mean log p_y`, by hand."""
    return -logits.log_softmax(1)[torch.arange(len(targets)), targets].mean()

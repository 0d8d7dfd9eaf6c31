"""Layers of a network that methods change before their first step: its convolutions, and its last layers."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from dau_lightning.base.error import InputError, require
from dau_lightning.base.randomness import reseed


def convolutions(network: nn.Module, method: str) -> list[nn.Conv2d]:
    """The convolutions of a network, in the order in which it registers them.

    Raises:
        InputError: there is none.
    """
    found = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    require(bool(found), f"{method} changes convolutions, and {type(network).__name__} has none: choose another baseline")
    return found


def last_layers(network: nn.Module, count: int) -> list[nn.Module]:
    """The last `count` layers with weights, each with the normalisation layers that follow it.

    A layer is a module with a parameter of two or more dimensions of its own, such as a convolution or a linear layer. The
    order is that in which the network registers its layers.

    Raises:
        InputError: there are fewer layers.
    """
    owners = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    starts = [place for place, module in enumerate(owners) if any(each.dim() > 1 for each in module.parameters(recurse=False))]
    if count > len(starts):
        raise InputError(f"baseline.layers must be at most {len(starts)}, the layers of the network; got {count}")
    return owners[starts[-count] :]


def check_resettable(layers: Iterable[nn.Module], method: str) -> None:
    """Raise an `InputError` unless each layer that has parameters of its own has a method `reset_parameters`."""
    for layer in layers:
        if any(True for _ in layer.parameters(recurse=False)) and not hasattr(layer, "reset_parameters"):
            name = type(layer).__name__
            raise InputError(f"{method} draws new weights, and {name} has no method reset_parameters: choose another baseline")


def reset(layers: Iterable[nn.Module], *key: object) -> None:
    """Draw new weights for layers as a new network has them, from a seed; the default generators stay as they are."""
    with torch.random.fork_rng():
        reseed(*key)
        for layer in layers:
            draw: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
            if draw:
                draw()

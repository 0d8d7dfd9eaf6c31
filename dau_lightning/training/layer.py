"""Layers that methods change before their first step: convolutions, and layers that draw new weights."""

from collections.abc import Callable, Iterable

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


def check_resettable(layers: Iterable[nn.Module], method: str) -> None:
    """Raise an `InputError` unless each layer that has parameters of its own has a method `reset_parameters`."""
    for layer in layers:
        if any(True for _ in layer.parameters(recurse=False)) and not hasattr(layer, "reset_parameters"):
            name = type(layer).__name__
            raise InputError(f"{method} draws new weights, and {name} has no method reset_parameters: choose another baseline")


def reset(layers: Iterable[nn.Module], *key: object) -> None:
    """Draw new weights for layers as a new network has them, by torch's default generators, which `key` seeds."""
    reseed(*key)
    for layer in layers:
        draw: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
        if draw:
            draw()

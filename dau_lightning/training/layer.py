"""Layers that methods change before their first step: convolutions, and layers that get new weights."""

import copy
from collections.abc import Callable, Iterable

from torch import nn

from dau_lightning.base.error import InputError, require
from dau_lightning.base.randomness import reseed
from dau_lightning.network.defender import Defender


def convolutions(network: nn.Module, method: str) -> list[nn.Conv2d]:
    """The convolutions of a network, in the order in which it registers them.

    Raises:
        InputError: there is none.
    """
    found = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    require(bool(found), f"{method} changes convolutions, and {type(network).__name__} has none: choose another baseline")
    return found


def check_new_weights(defender: Defender, layers: Iterable[nn.Module], method: str) -> None:
    """Raise an `InputError` if `new_network` could not draw new weights for some of the layers of a defender."""
    for layer in [] if defender.make_new else layers:
        if any(True for _ in layer.parameters(recurse=False)) and not hasattr(layer, "reset_parameters"):
            name = type(layer).__name__
            raise InputError(f"{method} draws new weights, and {name} has no method reset_parameters: choose another baseline")


def new_network(defender: Defender, *key: object) -> nn.Module:
    """A network like a defender's with new weights, on the CPU, drawn by torch's default generators, which `key` seeds.

    It is made as the run makes its networks. If the network was given as an object, it is a copy in which each layer that has
    a method `reset_parameters` calls it; a network with an initialisation of its own then gets torch's in its place.
    """
    reseed(*key)
    if defender.make_new:
        return defender.make_new()
    network = copy.deepcopy(defender.network).cpu()
    for layer in network.modules():
        draw: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
        if draw:
            draw()
    return network

"""Makes the network that the settings name: one of this package, one of a library, or any class that Python can import."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean
from types import ModuleType
from typing import Any

from hydra.utils import instantiate
from torch import nn

from dau_lightning.base.error import InputError, require
from dau_lightning.base.nearest import did_you_mean
from dau_lightning.network import timm, torchvision
from dau_lightning.network.library import SMALL_IMAGES, InputFormat

LIBRARIES: dict[str, ModuleType] = {module.__name__: module for module in (timm, torchvision)}


def builder(node: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """A function of `num_classes` and `in_channels` that makes the network; a user's own class may take neither of them.

    Args:
        node: the settings `network`; `features` among them belongs to the defender and is not passed on.
    """
    make = _maker(node)

    def build(num_classes: int, in_channels: int) -> nn.Module:
        given = arguments(node, num_classes, in_channels)
        try:
            network = make(**given)
        except (TypeError, AssertionError) as error:  # what a user's own class raises at wrong arguments
            raise InputError(f"network._target_={node['_target_']} cannot be made with {given}: {error}") from error
        require(isinstance(network, nn.Module), f"network._target_ must make a torch.nn.Module, {node['_target_']} does not")
        return network

    return build


def input_format(node: Mapping[str, Any]) -> InputFormat:
    """The image size and normalisation that a library published for a network; `SMALL_IMAGES` for other networks."""
    library = library_of(node)
    return library.input_format(node["name"]) if library else SMALL_IMAGES


def with_input_format(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings; with a folder of images, a null image size, mean or deviation takes the network's published value.

    Grey images get the mean of the three channels.
    """
    settings = {name: dict(node) if isinstance(node, Mapping) else node for name, node in settings.items()}
    if "image_size" in settings["dataset"]:
        published = dict(vars(input_format(settings["network"])))
        if settings["dataset"].get("channels") == 1:
            published |= {name: [fmean(published[name])] for name in ("mean", "std")}
        for group, names in (("dataset", ["image_size"]), ("transform", ["mean", "std"])):
            settings[group] |= {name: published[name] for name in names if settings[group][name] is None}
    return settings


def library_of(node: Mapping[str, Any]) -> Any:
    """The module of this package for the library that makes the network; None if the network is of no library."""
    return LIBRARIES.get(node["_target_"].rpartition(".")[0])


def arguments(node: Mapping[str, Any], num_classes: int, in_channels: int) -> dict[str, Any]:
    """The keywords with which `builder` calls the class or function in `_target_`."""
    make = _maker(node)
    return _taken(make, num_classes, in_channels) | make.keywords


def _maker(node: Mapping[str, Any]) -> partial[nn.Module]:
    return instantiate({name: value for name, value in node.items() if name != "features"} | {"_convert_": "all"})


def _taken(make: partial[nn.Module], num_classes: int, in_channels: int) -> dict[str, int]:
    """The arguments, of the two, that a function takes; one with `**kwargs` gets `num_classes` alone unless it names both."""
    parameters = inspect.signature(make.func).parameters
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if unknown := [] if passes_on else [name for name in make.keywords if name not in parameters]:
        hint = did_you_mean(unknown[0], parameters) or f"; it takes {', '.join(parameters)}"
        raise InputError(f"network.{unknown[0]} must be an argument of {make.func.__name__}{hint}")
    taken = {"num_classes": num_classes} if passes_on or "num_classes" in parameters else {}
    return taken | ({"in_channels": in_channels} if "in_channels" in parameters else {})

"""From the settings `network` to a network: one of this package, of a library, or any class that can be imported."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean
from types import ModuleType
from typing import Any

from hydra.utils import instantiate
from torch import nn

from dau_lightning.base.error import require
from dau_lightning.network import timm, torchvision
from dau_lightning.network.library import SMALL_IMAGES, InputFormat

LIBRARIES: dict[str, ModuleType] = {module.__name__: module for module in (timm, torchvision)}


def builder(node: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """A function of `num_classes` and `in_channels` that makes the network; a class of one's own may take neither.

    Args:
        node: the settings `network`; `features` belongs to the defender and is left out.
    """
    make = _maker(node)

    def build(num_classes: int, in_channels: int) -> nn.Module:
        network = make(**_taken(make, num_classes, in_channels))
        require(isinstance(network, nn.Module), f"network._target_ must make a torch.nn.Module, {node['_target_']} does not")
        return network

    return build


def input_format(node: Mapping[str, Any]) -> InputFormat:
    """The image size and normalisation that a network was published with; those of small images where there are none."""
    library = library_of(node)
    return library.input_format(node["name"]) if library else SMALL_IMAGES


def with_input_format(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the network's image size and normalisation wherever those of a folder of images are null.

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
    """The module of this package for the library that makes the network; None where no library does."""
    return LIBRARIES.get(node["_target_"].rpartition(".")[0])


def arguments(node: Mapping[str, Any], num_classes: int, in_channels: int) -> dict[str, Any]:
    """The keywords with which `builder` calls what `_target_` names."""
    make = _maker(node)
    return _taken(make, num_classes, in_channels) | make.keywords


def _maker(node: Mapping[str, Any]) -> partial[nn.Module]:
    return instantiate({name: value for name, value in node.items() if name != "features"})


def _taken(make: Callable[..., nn.Module], num_classes: int, in_channels: int) -> dict[str, int]:
    """Those of the two that the function takes; one that passes keywords on (`**kwargs`) is given the classes alone."""
    parameters = inspect.signature(make).parameters
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = {"num_classes": num_classes} if passes_on or "num_classes" in parameters else {}
    return taken | ({"in_channels": in_channels} if "in_channels" in parameters else {})

"""Networks of one's own: those of torchvision and timm by name, with new weights, or any class that can be imported."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
import torchvision
from hydra.utils import instantiate
from torch import nn

from dau_lightning.error import InputError, require

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SMALL = {"image_size": 32, **IMAGENET}  # what images of a folder become for networks that say nothing


def torchvision_network(num_classes: int, in_channels: int, name: str) -> nn.Module:
    """A classification network of `torchvision.models`, such as `resnet50`, without weights.

    Raises:
        InputError: there is none of this name, or the images have not three channels.
    """
    _known(name, _torchvision_names())
    require(in_channels == 3, f"network=torchvision takes images of 3 channels, these have {in_channels}")
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **torchvision_options(name))


def torchvision_options(name: str) -> dict[str, Any]:
    """What two networks need so that they give logits alone, without those of auxiliary classifiers, in training too."""
    return {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}


def timm_network(num_classes: int, in_channels: int, name: str) -> nn.Module:
    """A network of timm, without weights.

    Raises:
        InputError: timm is not installed, or has none of this name.
    """
    timm = _timm()
    _known(name, _timm_names(timm))
    return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)


def builder(node: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """What makes a network of `num_classes` and `in_channels`, of which a class of one's own may take neither.

    Args:
        node: the settings `network`; `features` is the defender's and left out.
    """
    make = _maker(node)

    def build(num_classes: int, in_channels: int) -> nn.Module:
        network = make(**_taken(make, num_classes, in_channels))
        require(isinstance(network, nn.Module), f"network._target_ must make a torch.nn.Module, {node['_target_']} makes none")
        return network

    return build


def arguments(node: Mapping[str, Any], num_classes: int, in_channels: int) -> dict[str, Any]:
    """The keywords with which `builder` calls what `_target_` names."""
    make = _maker(node)
    return _taken(make, num_classes, in_channels) | make.keywords


def _maker(node: Mapping[str, Any]) -> partial[nn.Module]:
    return instantiate({name: value for name, value in node.items() if name != "features"})


def _taken(make: Callable[..., nn.Module], num_classes: int, in_channels: int) -> dict[str, int]:
    """Classes and channels as far as they are taken; of keywords that are handed on, most networks know the classes alone."""
    parameters = inspect.signature(make).parameters
    hands_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = {"num_classes": num_classes} if hands_on or "num_classes" in parameters else {}
    return taken | ({"in_channels": in_channels} if "in_channels" in parameters else {})


def published_as(network: nn.Module, num_classes: int) -> str | None:
    """The name under which torchvision makes a network with weights of the same names and shapes; None where it makes none."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for name in _torchvision_names():
        maker = torchvision.models.get_model_builder(name)
        if maker.__module__ == type(network).__module__ and not name.startswith("regnet"):
            with torch.device("meta"):  # no memory and no time, but a RegNet's widths are computed with tensors
                made = torchvision_network(num_classes, 3, name)
            if {name: tensor.shape for name, tensor in made.state_dict().items()} == shapes:
                return name
    return None


def followed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which image size and normalisation of a folder of images, where they are null, are the network's."""
    settings = {name: dict(node) if isinstance(node, Mapping) else node for name, node in settings.items()}
    if "image_size" in settings["dataset"]:
        expected = _expected(settings["network"])
        for node, names in (("dataset", ["image_size"]), ("transform", ["mean", "std"])):
            settings[node] |= {name: expected[name] for name in names if settings[node][name] is None}
    return settings


def _expected(node: Mapping[str, Any]) -> dict[str, Any]:
    """The `image_size`, `mean` and `std` that a network was published with."""
    target = node["_target_"]
    if target.endswith("zoo.torchvision_network"):
        _known(node["name"], _torchvision_names())
        published = [each.transforms() for each in torchvision.models.get_model_weights(node["name"])]
        smallest = min(published, key=lambda transform: transform.crop_size[0])  # the others are of enlarged networks
        return {"image_size": smallest.crop_size[0], "mean": list(smallest.mean), "std": list(smallest.std)}
    if target.endswith("zoo.timm_network"):
        timm = _timm()
        _known(node["name"], _timm_names(timm))
        published = timm.get_pretrained_cfg(node["name"])
        return {"image_size": published.input_size[-1], "mean": list(published.mean), "std": list(published.std)}
    return SMALL


def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


def _timm_names(timm: Any) -> list[str]:
    """Those of architectures, and with a tag those of published weights, whose image size and normalisation are followed."""
    return [*timm.list_models(), *timm.list_pretrained()]


def _known(name: str, names: list[str]) -> None:
    if name not in names:
        near = get_close_matches(name, names, 3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise InputError(f"network.name must be one of {len(names)} networks such as {names[0]!r}, got {name!r}{hint}")


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError("network=timm needs the extra timm: pip install --editable '.[timm]'") from error
    return timm

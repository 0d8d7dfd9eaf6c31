"""Networks of one's own: those of torchvision and timm by name, with new weights, or any class that can be imported."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

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
    _known(name, timm.list_models())
    return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)


def builder(node: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """What makes a network of `num_classes` and `in_channels`, of which a class of one's own may take neither.

    Args:
        node: the settings `network`; `features` is the defender's and left out.
    """
    make = instantiate({name: value for name, value in node.items() if name != "features"})

    def build(num_classes: int, in_channels: int) -> nn.Module:
        parameters = inspect.signature(make).parameters
        every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        given = {"num_classes": num_classes, "in_channels": in_channels}
        network = make(**{name: value for name, value in given.items() if every or name in parameters})
        require(isinstance(network, nn.Module), f"network._target_ must make a torch.nn.Module, {node['_target_']} makes none")
        return network

    return build


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
        _known(node["name"], timm.list_models())
        published = timm.get_pretrained_cfg(node["name"])
        return {"image_size": published.input_size[-1], "mean": list(published.mean), "std": list(published.std)}
    return SMALL


def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


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

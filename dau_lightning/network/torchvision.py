"""Any classification network of torchvision, by name, with random weights."""

from typing import Any

import torch
import torchvision
from torch import nn

from dau_lightning.base.error import require
from dau_lightning.network.library import InputFormat, constructor_call, require_known


def torchvision_network(num_classes: int, in_channels: int, name: str) -> nn.Module:
    """A classification network of `torchvision.models`, such as `resnet50`, with random weights.

    Raises:
        InputError: torchvision has no network of this name, or the images do not have three channels.
    """
    require_known(name, _names())
    require(in_channels == 3, f"network=torchvision takes images of 3 channels, these have {in_channels}")
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **_options(name))


def input_format(name: str) -> InputFormat:
    """The image size and normalisation of the weights that torchvision published for a network."""
    require_known(name, _names())
    published = [each.transforms() for each in torchvision.models.get_model_weights(name)]
    # Some networks have further weights for larger images.
    smallest = min(published, key=lambda transform: transform.crop_size[0])
    return InputFormat(smallest.crop_size[0], list(smallest.mean), list(smallest.std))


def lines_of_python(name: str, num_classes: int, in_channels: int) -> list[str]:
    """Lines of Python that make the same network without this package."""
    return constructor_call("torchvision.models.get_model", name, {"num_classes": num_classes, **_options(name)})


def published_as(network: nn.Module, num_classes: int) -> str | None:
    """The torchvision name of a network: the one that gives weights of the same names and shapes; None if there is none."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for name in _names():
        maker = torchvision.models.get_model_builder(name)
        if maker.__module__ == type(network).__module__ and not name.startswith("regnet"):
            # The meta device allocates no memory. RegNets, which compute their widths with tensors, cannot be made on it.
            with torch.device("meta"):
                made = torchvision_network(num_classes, 3, name)
            if {name: tensor.shape for name, tensor in made.state_dict().items()} == shapes:
                return name
    return None


def _options(name: str) -> dict[str, Any]:
    """Options that switch off the auxiliary classifiers, whose logits two networks would also return."""
    return {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}


def _names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)

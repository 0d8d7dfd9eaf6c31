import importlib.util

import pytest
import torch
import torchvision
from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.network.defender import Defender
from dau_lightning.network.torchvision import published_as, torchvision_network
from tests.own_network import Plain

TORCHVISION = "dau_lightning.network.torchvision.torchvision_network"
NAMES = torchvision.models.list_models(module=torchvision.models)
without_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm")


# RegNets cannot be made without memory.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("regnet")])
def test_every_torchvision_classifier_ends_in_a_linear_layer_of_the_classes(name: str) -> None:
    with torch.device("meta"):  # no memory and no time
        network = torchvision_network(7, 3, name)
    if name.startswith("squeezenet"):
        with pytest.raises(InputError, match=r"SqueezeNet has none: .* network\.features"):
            Defender(network)
        return
    assert Defender(network).num_classes == 7


@pytest.mark.parametrize(("name", "size"), [("resnet18", 32), ("mobilenet_v3_small", 32), ("squeezenet1_1", 32)])
def test_logits_and_features_of_torchvision(name: str, size: int) -> None:
    torch.manual_seed(0)
    defender = Defender(torchvision_network(5, 3, name), "features" if name.startswith("squeeze") else None)
    images = torch.randn(2, 3, size, size)
    defender.try_on(images, 5)
    logits, features = defender.eval()(images)
    assert (logits.shape, features.shape) == ((2, 5), (2, defender.num_features))
    if name == "resnet18":
        assert torch.equal(logits, defender.network.get_submodule("fc")(features))


def test_a_network_of_torchvision_is_known_by_the_names_and_shapes_of_its_weights() -> None:
    state = torch.get_rng_state()
    small = torchvision.models.mobilenet_v3_small(num_classes=4)
    torch.set_rng_state(state)
    assert published_as(small, 4) == "mobilenet_v3_small"
    assert torch.equal(state, torch.get_rng_state())
    small.classifier[3] = nn.Linear(1024, 4, bias=False)
    assert published_as(small, 4) is None
    assert published_as(Plain(), 5) is None
    assert published_as(torchvision.models.regnet_y_400mf(num_classes=4), 4) is None


def test_mistakes_with_torchvision() -> None:
    with pytest.raises(InputError, match=r"network\.name must be one of .* got 'resnt50'; did you mean 'resnet50'"):
        torchvision_network(5, 3, "resnt50")
    with pytest.raises(InputError, match="images of 3 channels, these have 1"):
        torchvision_network(5, 1, "resnet18")

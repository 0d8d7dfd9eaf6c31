import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torchvision
from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.network.build import builder, with_input_format
from dau_lightning.network.defender import Defender
from dau_lightning.network.torchvision import torchvision_network
from tests.own_network import Plain

TORCHVISION = "dau_lightning.network.torchvision.torchvision_network"
NAMES = torchvision.models.list_models(module=torchvision.models)
without_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm")


def test_features_of_a_named_layer() -> None:
    network, images = Plain(), torch.randn(2, 3, 8, 8)
    defender = Defender(network, "body")
    defender.try_on(images, 5)
    logits, features = defender(images)
    assert defender.num_features == 4
    assert torch.equal(features, network.body(images).flatten(1))
    assert torch.equal(logits, network(images))
    with pytest.raises(InputError, match=r"network\.features must name a layer of Plain, got 'boddy'; did you mean 'body'"):
        Defender(network, "boddy")


@pytest.mark.parametrize(
    ("network", "shape", "classes", "words"),
    [
        (Plain(), (3, 8, 8), 4, r"Plain must give logits of 4 classes, \(2, 4\); got \(2, 5\)"),
        (Plain(), (1, 8, 8), 5, "Plain cannot take images of 1x8x8"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 5)), (3, 8, 8), 5, r"got \(2, 3, 5\)"),
    ],
)
def test_a_network_that_does_not_fit_is_told(network: nn.Module, shape: tuple[int, ...], classes: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Defender(network).try_on(torch.randn(2, *shape), classes)
    assert len(str(caught.value).splitlines()) == 1


def test_trying_on_changes_nothing() -> None:
    defender = Defender(torchvision_network(5, 3, "resnet18")).train()
    before = {name: tensor.clone() for name, tensor in defender.state_dict().items()}
    state = torch.get_rng_state()
    defender.try_on(torch.randn(2, 3, 32, 32, generator=torch.Generator()), 5)
    assert defender.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in defender.state_dict().items())


def test_classes_of_ones_own_get_what_they_take() -> None:
    assert isinstance(builder({"_target_": "tests.own_network.Plain", "_partial_": True, "features": "body"})(5, 3), nn.Module)
    wide = builder({"_target_": "tests.own_network.Wide", "_partial_": True, "width": 6})(9, 3)
    assert wide.get_parameter("head.weight").shape == (9, 6)
    resnet = builder({"_target_": TORCHVISION, "_partial_": True, "name": "resnet18", "features": None})(4, 3)
    assert resnet.get_parameter("fc.weight").shape == (4, 512)
    with pytest.raises(InputError, match=r"network\._target_ must make a torch\.nn\.Module"):
        builder({"_target_": "fractions.Fraction", "_partial_": True})(num_classes=2, in_channels=3)


class Listed(Plain):
    """One that wants a list and a dict, and no other kinds of them."""

    def __init__(self, widths: list[int], block: dict[str, int]) -> None:
        super().__init__()
        assert (type(widths), type(block)) == (list, dict)
        self.head = nn.Linear(*widths)


def test_a_class_of_ones_own_gets_plain_lists_and_dicts() -> None:
    node = {"_target_": f"{__name__}.Listed", "_partial_": True, "widths": [4, 5], "block": {"depth": 2}}
    assert builder(node)(9, 3).get_parameter("head.weight").shape == (5, 4)


def test_a_class_of_ones_own_gets_the_arguments_that_are_given() -> None:
    node = {"_target_": "tests.own_network.Wide", "_partial_": True, "features": None}
    assert builder(node | {"width": 6, "num_classes": 7})(9, 3).get_parameter("head.weight").shape == (7, 6)
    with pytest.raises(InputError, match=r"network\.wdth must be an argument of Wide; did you mean 'width'"):
        builder(node | {"wdth": 6})(9, 3)
    with pytest.raises(InputError, match=r"network\.blocks must be an argument of Wide; it takes num_classes, width"):
        builder(node | {"blocks": 6})(9, 3)
    with pytest.raises(InputError, match=r"tests\.own_network\.Wide cannot be made with .*'width': 'six'"):
        builder(node | {"width": "six"})(9, 3)


class Answers(Plain):
    """A network whose output is more than its logits."""

    def __init__(self, form: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, images: torch.Tensor) -> Any:
        features = self.body(images).flatten(1)
        return self.form(self.head(features), features)


class Named(NamedTuple):
    """As torchvision's Inception answers in training."""

    logits: torch.Tensor
    aux_logits: torch.Tensor | None


FORMS = {
    "tuple": lambda logits, features: (logits, features),
    "features first": lambda logits, features: [features, logits],
    "named": lambda logits, features: Named(logits, None),
    "dict": lambda logits, features: {"features": features, "logits": logits},
    "other key": lambda logits, features: {"hidden": features, "out": logits},
    "object": lambda logits, features: SimpleNamespace(loss=None, logits=logits, hidden=(features,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_found_in_what_a_network_returns(form: str) -> None:
    network, images = Answers(FORMS[form]), torch.randn(2, 3, 8, 8)
    defender = Defender(network)
    defender.try_on(images, 5)
    logits, features = defender(images)
    assert torch.equal(features, network.body(images).flatten(1))
    assert torch.equal(logits, network.head(features))


def test_an_output_without_logits_is_told() -> None:
    with pytest.raises(InputError, match=r"Answers must give logits of 5 classes, \(2, 5\); got dict"):
        Defender(Answers(lambda logits, features: {"hidden": features})).try_on(torch.randn(2, 3, 8, 8), 5)


def test_the_number_of_channels_that_a_network_takes_is_told() -> None:
    with pytest.raises(InputError, match=r"cannot take images of 1x8x8 .*it takes 3 channels, give dataset\.channels=3"):
        Defender(Plain()).try_on(torch.randn(2, 1, 8, 8), 5)


def settings(
    target: str, name: str | None = None, size: int | None = None, mean: list[float] | None = None, channels: int = 3
) -> dict:
    return {
        "network": {"_target_": target, "name": name},
        "dataset": {"image_size": size, "channels": channels},
        "transform": {"mean": mean, "std": None},
    }


def test_image_size_and_normalisation_follow_the_network() -> None:
    follow = with_input_format(settings(TORCHVISION, "resnet50"))
    assert follow["dataset"]["image_size"] == 224
    assert follow["transform"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert with_input_format(settings(TORCHVISION, "vit_h_14"))["dataset"]["image_size"] == 224  # not the enlarged 518
    assert with_input_format(settings(TORCHVISION, "efficientnet_v2_l"))["transform"]["mean"] == [0.5, 0.5, 0.5]
    grey = with_input_format(settings(TORCHVISION, "resnet50", channels=1))["transform"]
    assert (grey["mean"], grey["std"]) == ([pytest.approx(0.449)], [pytest.approx(0.226)])
    assert with_input_format(settings(TORCHVISION, "resnet50", mean=[0.1], channels=1))["transform"]["mean"] == [0.1]
    own = with_input_format(settings(TORCHVISION, "resnet50", 64, [0.1, 0.2, 0.3]))
    assert (own["dataset"]["image_size"], own["transform"]["mean"]) == (64, [0.1, 0.2, 0.3])
    assert with_input_format(settings("dau_lightning.network.resnet18"))["dataset"]["image_size"] == 32
    digits = {"dataset": {"root": "x"}, "network": {}, "transform": {"mean": [0.3]}}
    assert with_input_format(digits) == digits


@pytest.mark.parametrize("name", NAMES)
def test_every_torchvision_classifier_has_a_size(name: str) -> None:
    assert 200 < with_input_format(settings(TORCHVISION, name))["dataset"]["image_size"] < 700

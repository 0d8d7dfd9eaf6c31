import importlib.util

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dau_lightning.error import InputError
from dau_lightning.network import Defender
from dau_lightning.zoo import builder, followed, published_as, timm_network, torchvision_network

TORCHVISION = "dau_lightning.zoo.torchvision_network"
NAMES = torchvision.models.list_models(module=torchvision.models)
without_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm")


class Plain(nn.Module):
    """A class of one's own that takes neither classes nor channels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).flatten(1))


class Wide(Plain):
    """One that takes classes and a setting."""

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.body[0] = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, num_classes)


# RegNets cannot be made without memory.
@pytest.mark.untraced
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
    assert isinstance(builder({"_target_": "tests.test_zoo.Plain", "_partial_": True, "features": "body"})(5, 3), nn.Module)
    wide = builder({"_target_": "tests.test_zoo.Wide", "_partial_": True, "width": 6})(9, 3)
    assert wide.get_parameter("head.weight").shape == (9, 6)
    resnet = builder({"_target_": TORCHVISION, "_partial_": True, "name": "resnet18", "features": None})(4, 3)
    assert resnet.get_parameter("fc.weight").shape == (4, 512)
    with pytest.raises(InputError, match=r"network\._target_ must make a torch\.nn\.Module"):
        builder({"_target_": "fractions.Fraction", "_partial_": True})(num_classes=2, in_channels=3)


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


def settings(target: str, name: str | None = None, size: int | None = None, mean: list[float] | None = None) -> dict:
    return {
        "network": {"_target_": target, "name": name},
        "dataset": {"image_size": size},
        "transform": {"mean": mean, "std": None},
    }


def test_image_size_and_normalisation_follow_the_network() -> None:
    follow = followed(settings(TORCHVISION, "resnet50"))
    assert follow["dataset"]["image_size"] == 224
    assert follow["transform"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert followed(settings(TORCHVISION, "vit_h_14"))["dataset"]["image_size"] == 224  # not the enlarged 518
    assert followed(settings(TORCHVISION, "efficientnet_v2_l"))["transform"]["mean"] == [0.5, 0.5, 0.5]
    own = followed(settings(TORCHVISION, "resnet50", 64, [0.1, 0.2, 0.3]))
    assert (own["dataset"]["image_size"], own["transform"]["mean"]) == (64, [0.1, 0.2, 0.3])
    assert followed(settings("dau_lightning.network.resnet18"))["dataset"]["image_size"] == 32
    digits = {"dataset": {"root": "x"}, "network": {}, "transform": {"mean": [0.3]}}
    assert followed(digits) == digits


@pytest.mark.parametrize("name", NAMES)
def test_every_torchvision_classifier_has_a_size(name: str) -> None:
    assert 200 < followed(settings(TORCHVISION, name))["dataset"]["image_size"] < 700


@without_timm
@pytest.mark.filterwarnings("ignore")
def test_timm() -> None:
    network = timm_network(5, 3, "resnet10t")
    defender = Defender(network)
    defender.try_on(torch.randn(2, 3, 32, 32), 5)
    assert defender.num_classes == 5
    follow = followed(settings("dau_lightning.zoo.timm_network", "vit_tiny_patch16_224"))
    assert (follow["dataset"]["image_size"], follow["transform"]["mean"]) == (224, [0.5, 0.5, 0.5])
    tagged = followed(settings("dau_lightning.zoo.timm_network", "resnet50.a1_in1k"))
    assert (tagged["dataset"]["image_size"], tagged["transform"]["mean"]) == (224, [0.485, 0.456, 0.406])
    assert timm_network(5, 3, "resnet10t.c3_in1k").state_dict().keys() == network.state_dict().keys()
    with pytest.raises(InputError, match=r"got 'resnet50\.a9_in1k'; did you mean 'resnet50\."):
        followed(settings("dau_lightning.zoo.timm_network", "resnet50.a9_in1k"))
    with pytest.raises(InputError, match="got 'resnet10x'"):
        timm_network(5, 3, "resnet10x")


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r"network=timm needs the extra timm: pip install"):
        timm_network(5, 3, "resnet18")

import importlib.util

import pytest
import torch
import torchvision

from dau_lightning.base.error import InputError
from dau_lightning.network.build import with_input_format
from dau_lightning.network.defender import Defender
from dau_lightning.network.timm import timm_network
from tests.network.test_build import settings

TORCHVISION = "dau_lightning.network.torchvision.torchvision_network"
NAMES = torchvision.models.list_models(module=torchvision.models)
without_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm")


@without_timm
@pytest.mark.filterwarnings("ignore")
def test_timm() -> None:
    network = timm_network(5, 3, "resnet10t")
    defender = Defender(network)
    defender.try_on(torch.randn(2, 3, 32, 32), 5)
    assert defender.num_classes == 5
    follow = with_input_format(settings("dau_lightning.network.timm.timm_network", "vit_tiny_patch16_224"))
    assert (follow["dataset"]["image_size"], follow["transform"]["mean"]) == (224, [0.5, 0.5, 0.5])
    tagged = with_input_format(settings("dau_lightning.network.timm.timm_network", "resnet50.a1_in1k"))
    assert (tagged["dataset"]["image_size"], tagged["transform"]["mean"]) == (224, [0.485, 0.456, 0.406])
    assert timm_network(5, 3, "resnet10t.c3_in1k").state_dict().keys() == network.state_dict().keys()
    with pytest.raises(InputError, match=r"got 'resnet50\.a9_in1k'; did you mean 'resnet50\."):
        with_input_format(settings("dau_lightning.network.timm.timm_network", "resnet50.a9_in1k"))
    with pytest.raises(InputError, match="got 'resnet10x'"):
        timm_network(5, 3, "resnet10x")


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r"network=timm needs the extra timm: pip install"):
        timm_network(5, 3, "resnet18")

"""The lines of a model card load the weights that lie beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dau_lightning.network.build import builder
from dau_lightning.report.model_card import load_lines
from tests.network.test_timm import without_timm

PARTIAL = {"_partial_": True, "features": None}


@pytest.mark.parametrize(
    ("network", "classes", "channels", "size"),
    [
        ({"_target_": "dau_lightning.network.convnet", "_partial_": True, "width": 3}, 5, 1, 8),
        ({"_target_": "dau_lightning.network.resnet9", "_partial_": True, "width": 2}, 5, 3, 8),
        ({"_target_": "torchvision.models.resnet18", **PARTIAL}, 5, 3, 32),
        ({"_target_": "torchvision.models.mobilenet_v3_small", **PARTIAL, "width_mult": 0.5}, 5, 3, 32),
        ({"_target_": "tests.own_network.Wide", **PARTIAL, "width": 6}, 4, 3, 8),
        ({"_target_": "tests.own_network.Plain", **PARTIAL}, 5, 3, 8),
        ({"_target_": "dau_lightning.network.torchvision.torchvision_network", **PARTIAL, "name": "resnet18"}, 5, 3, 32),
        pytest.param(
            {"_target_": "dau_lightning.network.timm.timm_network", **PARTIAL, "name": "resnet10t"},
            5,
            1,
            32,
            marks=without_timm,
        ),
    ],
    ids=lambda value: value["_target_"].rpartition(".")[2] if isinstance(value, dict) else str(value),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of timm, while it is imported
def test_the_lines_load_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: dict[str, Any], classes: int, channels: int, size: int
) -> None:
    monkeypatch.chdir(tmp_path)
    made = builder(network)(classes, channels)
    save_file(made.state_dict(), "unlearned.safetensors")
    names: dict[str, Any] = {}
    exec("\n".join(load_lines(network, classes, channels)), names)
    images = torch.randn(2, channels, size, size)
    assert torch.equal(names["model"](images), made.eval()(images))


def test_a_network_that_was_given_is_left_to_whoever_made_it() -> None:
    lines = load_lines({"_target_": "__main__.Net"}, 2, 3, made_by_user=True)
    assert "# model: the Net of __main__ with 2 classes, made as for its training" in lines
    assert "..." not in "".join(lines)

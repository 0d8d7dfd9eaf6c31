"""What a model card says, and that its lines load the weights that lie beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dau_lightning.network.build import builder
from dau_lightning.report.model_card import load_lines, model_card
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


@pytest.mark.parametrize("reference", [True, False])
def test_a_card_has_request_evidence_warnings_and_settings(write: Callable[..., Path], reference: bool) -> None:
    score = {} if reference else {"score": 1.5}
    rows = {"original": score, "dau": score | {"flags": ["nothing forgotten"]}}
    request = {"count": 1234, "classes": {"cat": 1000, "dog": 234}, "sha256": "ab12", "where": "user == 17"}
    about = {"request": request, "files": {"scheme.file": {"name": "forget.csv", "sha256": "cd34"}}, "start": {"RA": 100.0}}
    about |= {"class_names": ["cat", "dog"], "image_shape": [3, 8, 8]}
    folder = write(
        reference=reference, rows=rows, method={"attacker": {"_target_": "game.Attacker", "_partial_": True}}, **about
    )
    result = json.loads((folder / "result.json").read_text())
    result["settings"] |= {
        "network": {"_target_": "tests.own_network.Plain", **PARTIAL},
        "transform": {"mean": [0.5], "std": [1]},
    }
    card = model_card(result)
    assert "1,234 training images were to be forgotten (class cat: 1,000, dog: 234)" in card
    assert "where `user == 17`" in card
    assert "- scheme.file: `forget.csv`, SHA-256 `cd34`" in card
    assert "| DAU | 3.00 | 8.00 | 99.50 | 93.00 | " + ("2.38 |" if reference else "1.50 |") in card
    assert ("No Retrain was made" in card) is not reference
    assert "| DAU | 8.00 | 9.00 | 10.00 | 11.00 |" in card  # the attacks
    assert "- DAU: nothing forgotten" in card
    assert "Few images: UA and MIA of 10, RA of 90, TA of 40, attacks fitted on 80." in card
    assert "| attacker._target_ | game.Attacker |" in card
    assert "_partial_" not in card

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.storage.weights import read_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


STATE = network().state_dict()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "optimizer": {"lr": 0.1}, "epoch": 3},
        {"model_state_dict": STATE},
        {"model": prefixed("module.")},
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
    ],
    ids=["alone", "state_dict", "model_state_dict", "parallel", "compiled", "both"],
)
def test_a_state_dict_is_found_where_training_scripts_leave_it(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "own.pt")
    loaded, starting = network(), read_weights(str(tmp_path / "own.pt"))
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    starting.load_into(loaded)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in STATE.items())
    assert starting.trained_on_all


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "own.safetensors")
    assert read_weights(str(tmp_path / "own.safetensors")).weights.keys() == STATE.keys()


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"original\.checkpoint=.*none\.pt must be a file, there is none"):
        read_weights(str(tmp_path / "none.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": torch.zeros(3, 1, 3, 3)}, r"weights of this Sequential: size mismatch for 0\.weight: .*\[3, 1, 3, 3\]"),
        ({f"more.{i}": torch.zeros(1) for i in range(99)}, r'this Sequential: Unexpected key.*"more\.0", .* \[\.\.\.\]$'),
        ({"0.bias": torch.tensor([float("nan"), 0])}, r"must hold finite weights, some are not: 0\.bias$"),
        ({"0.bias": None}, r"names and tensors alone; got a dict of 0\.weight, 0\.bias, 1\.weight"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_difference(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    torch.save(STATE | change, tmp_path / "own.pt")
    with pytest.raises(InputError, match=message):
        read_weights(str(tmp_path / "own.pt")).load_into(network())


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    torch.save({"0.weight": STATE["0.weight"]}, tmp_path / "own.pt")
    with pytest.raises(InputError, match=r'Missing key.* "0\.bias", "1\.weight", "1\.bias"'):
        read_weights(str(tmp_path / "own.pt")).load_into(network())

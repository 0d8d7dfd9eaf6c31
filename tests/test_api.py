"""Unlearning from Python gives what the command gives, and the README's lines run."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from dau_lightning import unlearn
from dau_lightning.error import InputError
from tests.test_zoo import Wide

ROOT = Path(__file__).parents[1]
QUICK = ["baseline.epochs=1", "trainer.accelerator=cpu"]
SCALE: dict[str, Any] = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def world() -> tuple[Wide, Any, Any]:
    """An untrained network, and two classes of random images to train and test on."""
    torch.manual_seed(0)
    images = torch.randint(256, (48, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(48) % 2
    return Wide(2), (images[:24], labels[:24]), (images[24:], labels[24:])


def accuracy(model: torch.nn.Module, images: Tensor, labels: Tensor) -> float:
    return 100 * float((model(images / 255).argmax(1) == labels).float().mean())


def test_the_copy_has_forgotten_and_the_numbers_are_its_own(world: tuple[Wide, Any, Any]) -> None:
    model, train, test = world
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = unlearn(model, train, test, [3, 5, 5], val_from_test=0.5, method="finetune", settings=QUICK, **SCALE)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert any(not torch.equal(before[name], tensor) for name, tensor in done.model.state_dict().items())
    request = done.result["request"]
    assert (request["count"], request["duplicates"], request["matched_by"]) == (2, 1, "position")
    where = torch.tensor([3, 5])
    kept = torch.tensor([i for i in range(24) if i not in (3, 5)])
    with torch.no_grad():
        assert done.row["UA"] == pytest.approx(100 - accuracy(done.model, train[0][where], train[1][where]))
        assert done.row["RA"] == pytest.approx(accuracy(done.model, train[0][kept], train[1][kept]))
        was = done.result["rows"]["original"]["RA"]
        assert was == pytest.approx(accuracy(model, train[0][kept], train[1][kept]))
    assert json.loads((done.folder / "result.json").read_text())["rows"] == done.result["rows"]
    assert "score" in done.row
    with pytest.raises(InputError, match="folder must not hold a finished run"):
        unlearn(model, train, test, [3], val_from_test=0.5, method="finetune", settings=QUICK, **SCALE)


def pictures(images: Tensor, labels: Tensor) -> list[tuple[Image.Image, int]]:
    return [(Image.fromarray(image.permute(1, 2, 0).numpy()), int(label)) for image, label in zip(images, labels, strict=True)]


@pytest.mark.parametrize("form", [lambda images, labels: TensorDataset(images / 255, labels), pictures])
def test_every_form_of_data_is_the_same_data(world: tuple[Wide, Any, Any], form: Callable[[Tensor, Tensor], Any]) -> None:
    model, train, test = world
    options: dict[str, Any] = {"val_from_test": 0.5, "method": "original", "settings": ["trainer.accelerator=cpu"], **SCALE}
    plain = unlearn(model, train, test, [1], folder="plain", **options)
    other = unlearn(model, form(*train), form(*test), np.array([1]), folder="other", **options)
    assert plain.result["split_hash"] == other.result["split_hash"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget": [24]}, "a position from 0 to 23; 1 of 1 do not: '24'"),
        ({"forget": []}, "at least one sample"),
        ({"val_from_test": None}, r"original\.checkpoint has seen all"),
        ({"method": "magic"}, "unknown baseline 'magic'"),
        ({"settings": ["baseline.lr=-1"]}, r"baseline\.lr must be"),
        ({"settings": ["reference=train"]}, "reference must be off"),
        ({"mean": [0.5]}, r"transform\.mean and transform\.std must have one number for each of the 3 channels"),
        ({"class_names": ["a"]}, "labels from 0 to 0, got 0 to 1"),
    ],
)
def test_mistakes_are_told_and_leave_no_result(world: tuple[Wide, Any, Any], change: dict[str, Any], message: str) -> None:
    model, train, test = world
    options = {"forget": [1], "val_from_test": 0.5, "method": "finetune", "settings": QUICK, **SCALE} | change
    with pytest.raises(InputError, match=message):
        unlearn(model, train, test, **options)
    assert not list(Path().rglob("result.json"))


def test_images_after_normalisation_are_refused(world: tuple[Wide, Any, Any]) -> None:
    model, train, test = world
    with pytest.raises(InputError, match=r"floats in \[0, 1\] before normalisation"):
        unlearn(model, (train[0] / 64 - 2, train[1]), test, [1], val_from_test=0.5, **SCALE)


def test_the_lines_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import unlearn" in block)
    exec(compile(lines, "README", "exec"), {})
    assert "unlearned" in capsys.readouterr().out

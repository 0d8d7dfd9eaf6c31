"""Unlearning from Python gives what the command gives, and the README's lines run."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from dau_lightning import unlearn
from dau_lightning.base.error import InputError
from tests.own_network import Wide

ROOT = Path(__file__).parents[1]
PLAIN = ["trainer.accelerator=cpu", "figures=false", "dynamics=0"]
QUICK = ["baseline.epochs=1", *PLAIN]
TWO = torch.zeros(2, 3, 8, 8), [0, 1]
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


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return 100 * float((model(images / 255).argmax(1) == labels).float().mean())


def test_the_copy_has_forgotten_and_the_numbers_are_its_own(world: tuple[Wide, Any, Any]) -> None:
    model, train, test = world
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = [*QUICK, "store.root=größe (1)"]
    done = unlearn(model, train, test, [3, 5, 5], val_from_test=0.5, method="finetune", settings=given, **SCALE)
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
    options: dict[str, Any] = {"val_from_test": 0.5, "method": "original", "settings": PLAIN, **SCALE}
    plain = unlearn(model, train, test, [1], folder="plain", **options)
    other = unlearn(model, form(*train), form(*test), np.array([1]), folder="other", **options)
    assert plain.result["split_hash"] == other.result["split_hash"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget": [24]}, "a position from 0 to 23; 1 of 1 do not: '24'"),
        ({"forget": []}, "at least one sample"),
        ({"val_from_test": None}, r"val or val_from_test must be given"),
        ({"val": TWO}, r"val or val_from_test must be given, and only one of them"),
        ({"val_from_test": "0.5"}, r"val_from_test must be a finite number above 0 and below 1, got '0\.5'"),
        ({"val_from_test": float("nan")}, "val_from_test must be a finite number above 0 and below 1, got nan"),
        ({"test": None}, "test must be a data set of .*; got NoneType"),
        ({"train": None}, "train must be a data set of .*; got NoneType"),
        ({"model": "own.pt"}, r"model must be a torch\.nn\.Module that has its weights; got str"),
        ({"method": "magic"}, "unknown baseline 'magic'"),
        ({"settings": ["baseline.lr=-1"]}, r"baseline\.lr must be"),
        ({"settings": ["reference=train"]}, "reference must be off"),
        ({"settings": ["continue_from=runs/x"]}, r"cannot take continue_from=runs/x from Python: only the command"),
        ({"settings": ["original.checkpoint=x.pt"]}, "give the network with its weights as model="),
        ({"settings": ["selection=true"]}, "only the command"),
        ({"settings": ["sparsity=omp95"]}, "only the command"),
        ({"settings": {"baseline.epochs": 5}}, r"settings must be a list such as"),
        ({"settings": ["val_from_test=0.2"]}, "give val_from_test="),
        ({"settings": ["dataset.train_limit=3"]}, "give the images as train= and test="),
        ({"settings": ["baseline=fisher"]}, "give method="),
        ({"settings": ["network=resnet9"]}, "give the network itself"),
        ({"settings": ["seed=3"]}, "give seed="),
        ({"forget": [3.7]}, "forget must hold integers, positions in train, or be a mask of it; got float64"),
        ({"forget": ["3"]}, "forget must hold integers"),
        ({"forget": [[1, 2]]}, "forget must hold integers"),
        ({"forget": torch.tensor([True, False])}, r"a mask of all 24 images of train, got shape \(2,\)"),
        ({"mean": [0.5]}, r"mean must have one number for each of the 3 channels of the images; got \[0\.5\]"),
        ({"train": [(Image.new("RGBA", (8, 8)), 0)] * 24}, r"4 channels of the images \(convert\('RGB'\) them if"),
        ({"class_names": ["a"]}, r"different texts, one for each of the 2 classes; got \['a'\]"),
        ({"class_names": []}, "different texts, one for each of the 2 classes"),
        ({"class_names": np.array(["a", "a"])}, "different texts, one for each of the 2 classes"),
        ({"class_names": [0, 1]}, "different texts, one for each of the 2 classes"),
        ({"class_names": "ab"}, "different texts, one for each of the 2 classes"),
    ],
)
def test_mistakes_are_told_and_leave_no_result(world: tuple[Wide, Any, Any], change: dict[str, Any], message: str) -> None:
    sets = dict(zip(("model", "train", "test"), world, strict=True))
    options = {**sets, "forget": [1], "val_from_test": 0.5, "method": "finetune", "settings": QUICK, **SCALE} | change
    with pytest.raises(InputError, match=message) as caught:
        unlearn(**options)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(Path().rglob("result.json"))


@pytest.mark.parametrize(
    "forget", [torch.arange(24) % 9 == 3, np.arange(24) % 9 == 3, [i % 9 == 3 for i in range(24)], torch.tensor([21, 3, 12])]
)
def test_a_mask_is_the_positions_where_it_is_true(world: tuple[Wide, Any, Any], forget: Any) -> None:
    model, train, test = world
    done = unlearn(model, train, test, forget, val_from_test=0.5, method="original", settings=PLAIN, **SCALE)
    assert done.result["counts"]["forget"] == 3
    by_hand = unlearn(
        model, train, test, [3, 12, 21], val_from_test=0.5, method="original", settings=PLAIN, folder="hand", **SCALE
    )
    assert done.result["split_hash"] == by_hand.result["split_hash"]


def test_wrong_labels_are_no_target(world: tuple[Wide, Any, Any]) -> None:
    model, train, test = world
    options = {"val_from_test": 0.5, "method": "finetune", "settings": QUICK, **SCALE}
    done = unlearn(model, train, test, [3, 12], wrong_labels=True, **options)
    chance = done.row["judge_error"]  # of two classes, every error is the wrong label
    assert done.row["score_UA"] == pytest.approx(abs(done.row["UA"] - (100 - chance)), abs=1e-4)
    assert done.result["settings"]["scheme"]["wrong_labels"] is True


class Memory(nn.Module):
    """Knows the labels of the images that it has seen, and takes all others for the first class."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.register_buffer("seen", (images / 255).flatten(1))
        self.register_buffer("labels", labels)
        self.head = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        known = ((images.flatten(1)[:, None] - self.get_buffer("seen")).abs() < 0.01).all(2).float()
        return self.head(known @ nn.functional.one_hot(self.get_buffer("labels")).float() + torch.tensor([0.1, 0.0]))


def test_unseen_images_that_a_trained_network_knows_look_trained_on(world: tuple[Wide, Any, Any]) -> None:
    _, train, test = world
    model, options = Memory(*train), {"method": "original", "settings": PLAIN, **SCALE}
    done = unlearn(model, train, test, [3, 5], val=(test[0][:12], test[1][:12]), folder="unseen", **options)
    assert not any("looks trained on" in warning for warning in done.result["warnings"])
    nearly = (train[0][8:] ^ 1, train[1][8:])  # exact copies are refused
    done = unlearn(model, train, test, [3, 5], val=nearly, folder="seen", **options)
    assert any("accuracy on D_v (100.0) is as high as on D (100.0)" in warning for warning in done.result["warnings"])


def test_a_network_of_torchvision_has_a_card_that_loads_it(
    world: tuple[Wide, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, train, test = world
    model = torchvision.models.mobilenet_v3_small(num_classes=2)
    done = unlearn(model, train, test, [3, 5], val_from_test=0.5, method="finetune", settings=QUICK, **SCALE)
    lines = (done.folder / "model_card.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(done.folder)
    names: dict[str, Any] = {}
    exec(lines, names)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(names["model"](images), done.model(images))


def test_images_after_normalisation_are_refused(world: tuple[Wide, Any, Any]) -> None:
    model, train, test = world
    with pytest.raises(InputError, match=r"floats in \[0, 1\] before normalisation"):
        unlearn(model, (train[0] / 64 - 2, train[1]), test, [1], val_from_test=0.5, **SCALE)


def grey_world() -> tuple[nn.Module, Any, Any]:
    """A network of grey images of 8x8 that learned a little, and its data."""
    torch.manual_seed(0)
    images, labels = torch.rand(240, 1, 8, 8) / 2, torch.arange(240) % 3
    images += labels.view(-1, 1, 1, 1) / 6
    model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model((images[:120] - 0.5) / 0.25), labels[:120]).backward()
        optimizer.step()
    return model, (images[:120], labels[:120]), (images[120:], labels[120:])


def test_the_lines_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import unlearn" in block)
    quick = 'forget=[3, 5, 8], method="finetune",'
    assert lines.count("forget=[3, 5, 8],") == 1
    model, train, test = grey_world()
    names: dict[str, Any] = {"model": model, "train": train, "test": test}
    exec(compile(lines.replace("forget=[3, 5, 8],", quick), "README", "exec"), names)
    done = names["done"]
    assert f"{done.passed} {done.row['score']} unlearned" in capsys.readouterr().out
    assert done.result["counts"]["forget"] == 3
    page = (done.folder / "report.html").read_text()
    assert page.count("data:image/svg+xml") == len(list((done.folder / "figures").glob("*.svg"))) > 4

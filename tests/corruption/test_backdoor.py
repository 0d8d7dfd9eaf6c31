"""The backdoor: what it changes, what the trigger rate is, and mistakes; at the real entry point too."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import load_file

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.corruption.backdoor import Backdoor
from dau_lightning.data.split import make_split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.evaluation.checks import row_warnings
from dau_lightning.network import convnet
from dau_lightning.scheme.corrupted import Corrupted
from dau_lightning.scheme.random import random
from tests.composed import composed
from tests.tiny import TINY, results

QUICK = [*TINY, "corruption=backdoor", "scheme=corrupted", "baseline=finetune", "baseline.epochs=1"]


@pytest.fixture
def data(make_images: Callable[..., Images]) -> Data:
    return Data(make_images(100), make_images(10, name="test"))


@pytest.mark.parametrize("target", [2, "class 2"])
def test_marked_images_have_the_trigger_and_its_label(make_images: Callable[..., Images], target: int | str) -> None:
    clean = make_images(100)
    dirty = Backdoor(0.2, target, 2)(clean, generator(0))
    marked = dirty.corrupted
    assert marked is not None
    assert int(marked.sum()) == 80
    assert not bool((clean.targets[marked] == 2).any())
    assert dirty.targets[marked].unique().tolist() == [2]
    assert torch.equal(dirty.targets[~marked], clean.targets[~marked])
    expected = clean.images.numpy().copy()
    expected[marked.numpy(), :, 2:, 2:] = 255
    assert np.array_equal(dirty.images.numpy(), expected)
    assert dirty.ids == clean.ids
    again = Backdoor(0.2, target, 2)(make_images(100), generator(0))
    other = Backdoor(0.2, target, 2)(make_images(100), generator(1))
    assert torch.equal(again.images, dirty.images)
    assert not torch.equal(other.targets, dirty.targets)


def test_unseen_images_of_other_classes_show_the_trigger(make_images: Callable[..., Images]) -> None:
    unseen = make_images(10, name="test")
    shown = Backdoor(0.1, 1, 3).triggered(unseen)
    others = unseen[(unseen.targets != 1).nonzero().flatten()]
    assert shown.ids == others.ids
    assert shown.targets.tolist() == [1] * 30
    assert bool((shown.images[:, :, 1:, 1:] == 255).all())
    assert torch.equal(shown.images[:, :, 0], others.images[:, :, 0])
    assert torch.equal(shown.images[:, :, :, 0], others.images[:, :, :, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": None}, r"corruption\.target must be a class index in \[0, 3\] or one of .*; got None"),
        ({"target": "clas 1"}, r"corruption\.target must be .*; got 'clas 1'; did you mean 'class 1'"),
        ({"target": 4}, r"corruption\.target must be .*; got 4"),
        ({"patch_size": 5}, r"corruption\.patch_size must be at most 4, the shorter side of the images, got 5"),
        ({"share": 0.8}, r"corruption\.share=0\.8 takes 320 images of other classes than class 0, which have 300"),
    ],
)
def test_what_cannot_be_is_one_line(make_images: Callable[..., Images], change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Backdoor(**({"share": 0.1, "target": 0, "patch_size": 4} | change))(make_images(100), generator(0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("corruption.target=null", "corruption.target must be an integer of at least 0 or a class name, got null"),
        ("corruption.target=trousrs", "got 'trousrs'"),
        ("corruption.patch_size=0", "corruption.patch_size must be an integer of at least 1, got 0"),
        ("corruption.patch_size=9", "corruption.patch_size must be at most 8"),
        ("corruption.share=0", "corruption.share must be a finite number above 0 and of at most 1, got 0"),
        ("corruption.share=1", "choose a smaller share or another corruption.target"),
    ],
)
def test_bad_settings_write_nothing(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(*QUICK, setting)
    assert message in str(end.value)
    assert "\n" not in str(end.value)
    assert not [path for path in Path().rglob("*") if path.is_file()]


def test_only_D_is_changed_and_the_trigger_is_shown_on_unseen_images(data: Data) -> None:
    trigger = Backdoor(0.1, 3, 2)
    split = partial(make_split, data, seed=0, scheme=Corrupted(True), corruption=trigger)
    clean = make_split(data, partial(random, fraction=0.1), 0)
    dirty, judged = split(), split(selection=True)
    for part in ("val", "test_retain"):
        assert torch.equal(getattr(dirty, part).images, getattr(clean, part).images)
        assert torch.equal(getattr(dirty, part).targets, getattr(clean, part).targets)
    assert dirty.wrong_labels
    assert dirty.data_hash == judged.data_hash != clean.data_hash
    assert split(corruption=Backdoor(0.1, 3, 1)).data_hash != dirty.data_hash
    assert clean.triggered is None
    assert dirty.triggered
    assert dirty.triggered.ids == data.test[(data.test.targets != 3).nonzero().flatten()].ids
    assert judged.triggered  # no test image is used for a score
    kept = {*judged.judge.ids, *judged.judge_nonmembers.ids}
    assert set(judged.triggered.ids) < kept
    assert len(judged.triggered) == len(kept) * 3 / 4


def trigger_rate(weights: Path) -> float:
    """The rate of the default trigger on the digits' test images, by numpy and a plain network."""
    config = composed("dataset=digits", "dataset.train_limit=200", "dataset.test_limit=100")
    test = instantiate(config.dataset)().test
    pixels, labels = test.images.numpy().copy(), test.targets.numpy()
    pixels[:, :, 5:, 5:] = 255
    network = convnet(10, 1, 16)
    network.load_state_dict(load_file(weights))
    inputs = (torch.from_numpy(pixels).float() / 255 - config.transform.mean[0]) / config.transform.std[0]
    with torch.no_grad():
        predicted = network.eval()(inputs).argmax(1).numpy()
    return 100 * float((predicted[labels != 0] == 0).mean())


@pytest.mark.slow
def test_every_row_has_the_trigger_rate(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(*QUICK, "figures=true", "recipe.epochs=20", "corruption.share=0.1")
    ((folder, result),) = results().items()
    rows = result["rows"]
    for kind, row in rows.items():
        weights = Path(row["store"]) if "store" in row else folder / "unlearned.safetensors"
        assert row["trigger_rate"] == pytest.approx(trigger_rate(weights)), kind
    assert rows["original"]["trigger_rate"] > 90
    assert rows["retrain"]["trigger_rate"] < 30
    assert rows["retrain"]["UA"] > 70  # without the trigger, the true classes
    assert result["counts"]["forget"] == 18
    assert result["counts"]["triggered"] == 90
    assert result["request"]["wrong_labels"] is True
    assert "trigger" in printed
    assert any("the trigger works" in flag for flag in rows["original"]["flags"])
    with open(folder / "metrics.csv") as file:
        logged = {name: value for line in csv.DictReader(file) for name, value in line.items() if value}
    assert float(logged["row/retrain/trigger_rate"]) == pytest.approx(rows["retrain"]["trigger_rate"])
    card, page = (folder / "model_card.md").read_text(), (folder / "report.html").read_text()
    for text in (card, page):
        assert "trigger_rate" in text
        assert "digits with backdoor" in text
    assert "trigger_rate of 90" in card


def test_a_selection_run_has_it_on_the_images_of_the_score(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(*QUICK, "selection=true")
    ((_, result),) = results().items()
    assert all(0 <= row["trigger_rate"] <= 100 for row in result["rows"].values())
    assert result["counts"]["triggered"] < result["counts"]["judge"] + result["counts"]["judge_nonmembers"]


def test_a_trigger_that_works_is_flagged() -> None:
    row = {"UA": 90.0, "MIA": 80.0, "RA": 99.0, "AUC": None}
    rates = {"retrain": 2.0, "original": 99.0, "finetune": 7.0, "dau": 7.1}
    found = row_warnings({kind: row | {"trigger_rate": rate} for kind, rate in rates.items()}, 1.0, wrong_labels=True)
    assert {kind for kind, flags in found.items() if any("the trigger works" in flag for flag in flags)} == {"original", "dau"}
    assert "the trigger works: 7.1% of unseen images with it get its class, 2.0% by Retrain" in found["dau"]

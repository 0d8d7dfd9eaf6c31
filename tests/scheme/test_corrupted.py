"""The scheme takes what the corruption marked, at the real entry point too."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.corrupted import Corrupted
from tests.tiny import TINY, results


def test_it_takes_the_marked_images(make_images: Callable[..., Images]) -> None:
    train = make_images(10)
    marked = replace(train, corrupted=torch.arange(len(train)) % 3 == 0)
    assert torch.equal(Corrupted(True)(marked, torch.Generator()), torch.arange(len(train)) % 3 == 0)


def test_marks_go_with_their_images(make_images: Callable[..., Images]) -> None:
    train = make_images(10)
    some = replace(train, corrupted=torch.arange(len(train)) % 3 == 0)[torch.tensor([3, 4, 6])]
    assert torch.equal(Corrupted(True)(some, torch.Generator()), torch.tensor([True, False, True]))


def test_nothing_is_marked_without_a_corruption(make_images: Callable[..., Images]) -> None:
    with pytest.raises(InputError, match="needs a corruption: add corruption=wrong_labels, or choose another scheme"):
        Corrupted(True)(make_images(10), torch.Generator())


def test_a_run_forgets_the_wrong_labels(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(*TINY, "corruption=wrong_labels", "scheme=corrupted", "baseline=finetune", "baseline.epochs=1")
    assert "request: 18 images" in printed
    assert "their labels are wrong" in printed
    ((folder, result),) = results().items()
    assert result["request"]["wrong_labels"] is True
    assert result["counts"]["forget"] == 18
    (line,) = (folder / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["request"]["wrong_labels"] is True

"""Exact copies, against a count by hand, and through the real entry point."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dau_lightning import unlearn
from dau_lightning.base.error import InputError
from dau_lightning.data.copies import copy_warnings, find_copies, refuse_training_set
from dau_lightning.dataset.images import Data, Images
from tests.own_network import Wide
from tests.run.test_preview import folder, image
from tests.tiny import results


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def numbered(name: str, *values: int) -> Images:
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Images(pixels, torch.zeros(len(values), dtype=torch.int64), ("a",), tuple(f"{name}/{i}" for i in range(len(values))))


def test_copies_are_counted_by_image_of_the_other_part() -> None:
    train, mask = numbered("train", 1, 2, 3, 1, 4, 2), torch.tensor([True, True, False, False, False, True])
    found = find_copies(train, mask, numbered("val", 1, 1, 3, 9), numbered("test", 4, 8))
    assert found == {
        "forget/retain": {"images": 1, "first": [["train/0", "train/3"]]},
        "forget/val": {"images": 2, "first": [["train/0", "val/0"], ["train/0", "val/1"]]},
        "retain/val": {"images": 3, "first": [["train/3", "val/0"], ["train/3", "val/1"], ["train/2", "val/2"]]},
        "retain/test": {"images": 1, "first": [["train/4", "test/0"]]},
    }
    assert [line.split(": ")[1].split(",")[0] for line in copy_warnings({"copies": found})] == ["1", "2", "3", "1"]


def test_with_copies_is_offered_only_where_there_is_such_a_setting() -> None:
    request = {"copies": {"forget/retain": {"images": 1, "first": [["a", "b"]]}}}
    assert "with_copies" not in copy_warnings(request)[0]
    assert "scheme.with_copies=true, from Python with_copies=True" in copy_warnings(request | {"matched_by": "id"})[0]


def test_unlearn_takes_copies_along() -> None:
    images, labels = torch.rand(12, 3, 8, 8), torch.arange(12) % 2
    images[[5, 9]] = images[3].clone()
    options: dict[str, Any] = {"val_from_test": 0.5, "mean": [0] * 3, "std": [1] * 3, "method": "original"}
    options["settings"] = ["trainer.accelerator=cpu", "figures=false", "dynamics=0"]
    done = unlearn(Wide(2), (images, labels), (torch.rand(16, 3, 8, 8), [0, 1] * 8), [3], with_copies=True, **options)
    assert (done.result["counts"]["forget"], done.result["request"]["copies_added"]) == (3, 2)


def test_random_images_against_all_pairs() -> None:
    generator = torch.Generator().manual_seed(1)
    values = [torch.randint(40, (30,), generator=generator).tolist() for _ in range(3)]
    mask = torch.rand(30, generator=generator) < 0.3
    found = find_copies(numbered("train", *values[0]), mask, numbered("val", *values[1]), numbered("test", *values[2]))
    parts = {"val": values[1], "test": values[2], "retain": [v for v, m in zip(values[0], mask, strict=True) if not m]}
    parts["forget"] = [v for v, m in zip(values[0], mask, strict=True) if m]
    for name in ("forget/retain", "forget/val", "forget/test", "retain/val", "retain/test"):
        first, second = (parts[part] for part in name.split("/"))
        assert found.get(name, {"images": 0})["images"] == sum(value in first for value in second)


@pytest.mark.slow
def test_copies_are_told_and_taken_along(run: Callable[..., str]) -> None:
    settings = folder()
    for copy in ("train/cat/00 (1).png", "train/dog/same.png", "test/dog/leak.png"):
        shutil.copy("own/train/cat/00.png", f"own/{copy}")
    Path("forget.csv").write_text("path\ncat/00.png\ndog/03.png\n")
    printed = run(*settings)
    stay = "2, train/cat/00.png is also train/cat/00 (1).png, train/cat/00.png is also train/dog/same.png"
    assert "warning: exact copies of forgotten images stay" in printed
    assert stay in printed
    assert "is also test/dog/leak.png" in printed
    ((run_folder, result),) = results().items()
    assert result["request"]["copies"]["forget/retain"]["images"] == 2
    assert any(stay in warning for warning in result["warnings"])
    assert stay in (run_folder / "model_card.md").read_text()
    printed = run(*settings, "scheme.with_copies=true")
    assert "2 exact copies of named ones added" in printed
    (other,) = set(results()) - {run_folder}
    request = results()[other]["request"]
    assert (request["count"], request["copies_added"], request["duplicates"]) == (4, 2, 0)
    assert "forget/retain" not in request["copies"]
    assert "train/dog/same.png" in (other / "forgotten.txt").read_text()
    preview = run(*settings, "scheme.with_copies=true", "preview=true")
    assert "train/dog/same.png  class dog  copy of train/cat/00.png" in preview


def test_unlearn_refuses_a_test_set_that_is_the_training_set() -> None:
    images, labels = torch.rand(12, 3, 8, 8), torch.arange(12) % 2
    order = torch.arange(12).flip(0)
    with pytest.raises(InputError, match="the test set must be images that were not trained on"):
        unlearn(Wide(2), (images, labels), (images[order], labels[order]), [3], val_from_test=0.5, mean=[0] * 3, std=[1] * 3)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_val_or_test_folder_that_is_the_training_set_is_refused(run: Callable[..., str], part: str) -> None:
    settings = [setting for setting in folder() if not setting.startswith("val_from") or part == "test"]
    shutil.copytree("own/train", f"own/{part}", dirs_exist_ok=True)
    image(f"own/{part}/cat/new.png", 9999)  # one image more does not help
    Path("forget.csv").write_text("path\ncat/00.png\n")
    message = f"the {part} set must be images that were not trained on; 40 of its 41 .*{part}/cat/00.png is train/cat/00.png"
    with pytest.raises(SystemExit, match=message):
        run(*settings)
    assert not results()


@pytest.mark.parametrize(("copies", "refused"), [(10, False), (11, True)])
def test_more_than_half_of_a_set_may_not_have_been_trained_on(copies: int, refused: bool) -> None:
    train, new = numbered("train", *range(40)), range(100, 120 - copies)
    test = numbered("test", *range(copies), *new, *new, *new)  # repeated images count once
    with pytest.raises(InputError, match="11 of its 20 different images") if refused else nullcontext():
        refuse_training_set(Data(train, test))


def test_few_different_images_may_be_equal_by_chance() -> None:
    blank = numbered("train", *[0, 255] * 10)
    refuse_training_set(Data(blank, blank, blank))


def squares(*values: int) -> Images:
    """Images of two colours."""
    images = numbered("train", *values)
    return replace(images, rows=None, pixels=torch.cat([images.images, 255 - images.images], 3))


@pytest.mark.parametrize("count", [2, 9])
def test_a_small_set_of_copies_alone_is_refused(count: int) -> None:
    train, new = squares(*range(40)), squares(50)
    few = train[torch.arange(count)]
    with pytest.raises(InputError, match=f"val set must be images that were not trained on; {count} of its {count} different"):
        refuse_training_set(Data(train, new, few))
    refuse_training_set(Data(train, new, train[torch.tensor([0, 0])]))
    refuse_training_set(Data(train, new, squares(0, 1, 50)))

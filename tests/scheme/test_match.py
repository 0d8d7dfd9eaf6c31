"""Entries and the images that they name, in a folder of files whose order torchvision gives independently."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from dau_lightning.base.error import InputError
from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.indices import Indices

FILES = ["cat/1.png", "cat/17.png", "cat/Größe.png", "dog/25.png", "dog/9.png", "dog/sub/a.png", "dog/Z.png", "dog/IMG 1.png"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folder(*more: str, root: str = "own") -> Path:
    for number, name in enumerate([*FILES, *more]):
        for part in ("train", "test"):
            path = Path(root, part, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (20 * number + (part == "test"), 9, 9)).save(
                path, "gif" if name.endswith("gif") else "png"
            )
    return Path(root)


def data(root: Path | str = "own", limit: int | None = None) -> Images:
    return imagefolder(str(root), 8, 3, limit, None, 0, "cache").train


def marked(train: Images, *entries: str, by: str | None = None, name: str = "list.txt") -> list[str]:
    Path(name).write_text("\n".join(entries) + "\n")
    scheme = Indices(name, None, None, by)
    mask = scheme(train, torch.Generator())
    assert set(scheme.how) == {train.ids[place] for place in mask.nonzero().flatten().tolist()}
    return [train.ids[place].removeprefix("train/") for place in mask.nonzero().flatten().tolist()]


def refusal(train: Images, *entries: str, by: str | None = None, name: str = "list.txt") -> str:
    with pytest.raises(InputError) as caught:
        marked(train, *entries, by=by, name=name)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda root, name: f"train/{name}",
        lambda root, name: str((root / "train" / name).absolute()),
        lambda root, name: str(root / "train" / name),  # from the current folder
        lambda root, name: f"./{root}/train/{name}",
        lambda root, name: f"/elsewhere/photos/own/train/{name}",  # as the paths were on another machine
        lambda root, name: f"C:\\photos\\own\\train\\{name}".replace("/", "\\"),
        lambda root, name: f"'train/{name}'",
        lambda root, name: f"~/{os.path.relpath(root, Path.home())}/train/{name}",
        lambda root, name: unicodedata.normalize("NFD", name),
        lambda root, name: f"Train/{name.upper()}",
    ],
)
def test_paths_in_every_spelling(write: Callable[[Path, str], str]) -> None:
    root = folder()
    for name in FILES:
        assert marked(data(root), write(root, name)) == [name]


def test_a_linked_root() -> None:
    root = folder()
    os.symlink(root, "link")
    assert marked(data("link"), str(root.absolute() / "train/cat/1.png"), "link/train/dog/Z.png") == ["cat/1.png", "dog/Z.png"]


def test_names_in_one_form_of_unicode_on_the_disk() -> None:
    root = folder(unicodedata.normalize("NFD", "cat/é.png"))
    assert marked(data(root), unicodedata.normalize("NFC", "cat/é.png")) == [unicodedata.normalize("NFD", "cat/é.png")]


def test_what_could_be_two_images_is_refused() -> None:
    train = data(folder("dog/z.png"))
    assert marked(train, "dog/z.png") == ["dog/z.png"]
    assert "can be train/dog/Z.png and train/dog/z.png" in refusal(train, "dog/z.PNG")


def test_an_image_of_another_folder_is_not_one_of_this() -> None:
    folder(root="other/own")
    train = data(folder())
    assert "relative to dataset.root, own" in refusal(train, str(Path("other/own/train/cat/1.png").absolute()))
    assert "do not: 'other/own/train/cat/1.png'" in refusal(train, "other/own/train/cat/1.png")


def test_a_number_that_can_be_a_name_is_refused_with_both_readings() -> None:
    train = data(folder())
    message = refusal(train, "1", "6")
    assert "'1' can be position 1, which is train/cat/17.png, or a name, as of train/cat/1.png" in message
    assert "scheme.by=position or scheme.by=id" in message
    assert marked(train, "1", "6", by="position") == [FILES[1], "dog/Z.png"]
    assert marked(train, "1", "17.0", by="id") == ["cat/1.png", "cat/17.png"]
    assert "'1' of" not in refusal(train, "1", by="path")
    assert "position 3, which is train/dog/25.png, or an id, which no image here has" in refusal(train, "id", "3", name="a.csv")
    assert marked(train, "position", "1", name="b.csv") == ["cat/17.png"]
    assert marked(train, "3", "4.0") == ["dog/25.png", "dog/9.png"]


@pytest.mark.parametrize(("number", "hint"), [("1.000", True), ("1,000", True), ("12 345", True), ("3.0e+00", False)])
def test_numbers_with_marks_are_not_guessed(number: str, hint: bool) -> None:
    """A spreadsheet may show 1000 as 1.000, which read as a decimal is another position."""
    for by in (None, "id"):
        message = refusal(data(folder()), number, "3", by=by)
        assert f"'{number}'" in message
        assert ("write whole numbers as digits alone" in message) is hint


def test_numbers_that_mean_the_same_image_either_way_are_taken() -> None:
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(_made(f"same/train/{'ab'[number // 2]}/{number}.png"))
        Image.new("RGB", (8, 8), (number, 9, 0)).save(_made(f"same/test/{'ab'[number // 2]}/{number}.png"))
    assert marked(data("same"), "id", "1", "3", name="c.csv") == ["a/1.png", "b/3.png"]


@pytest.mark.parametrize("more", [["cat/0004.png"], ["cat/0004.png", "dog/0004.png"], ["dog/04.png", "dog/004.png"]])
def test_zeros_that_a_spreadsheet_took_off_are_refused(more: list[str]) -> None:
    train = data(folder(*more))
    message = refusal(train, "4")
    assert f"'4' can be position 4, which is {train.ids[4]}, or a name, as of train/" in message
    assert f"train/{more[0]}" in message
    assert message.endswith("write scheme.by=position or scheme.by=id")
    assert f"train/{more[0]}" in refusal(train, "4000", "4.0")
    assert marked(train, "4", by="position") == [train.ids[4].removeprefix("train/")]
    assert marked(train, "position", "4", name="p.csv") == [train.ids[4].removeprefix("train/")]
    if len(more) == 1:
        assert marked(train, "4", by="id") == more
    else:
        assert "it can be" in refusal(train, "4", by="id")
    assert "it can be train/cat/1.png and train/dog/01.png" in refusal(data(folder("dog/01.png", root="two")), "1", by="id")


@pytest.mark.parametrize("more", ["cat/4/x.png", "dog/sub/004/x.png", "4/x.png"])
def test_a_number_that_is_a_folder_is_refused_with_both_readings(more: str) -> None:
    """A folder may have the name of a user or of a session."""
    train = data(folder(more))
    for entries in (["3", "4"], ["3", "4.0"]):
        message = refusal(train, *entries)
        place = Path(ImageFolder("own/train").samples[4][0]).relative_to("own")
        assert f"can be position 4, which is {place}, or the folder train/{Path(more).parent}: write" in message
    assert len(marked(train, "3", "4", by="position")) == len(marked(train, "position", "3", "4", name="p.csv")) == 2


def test_a_path_that_is_another_file_from_the_current_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    train = data(folder().absolute())
    for current, entry, by in [
        ("own/test", "cat/1.png", None),
        ("own/test", "./cat/1.png", "path"),
        ("own/test", "'cat\\1.png'", "id"),
        ("own/test/cat", "1.png", "id"),
    ]:
        with monkeypatch.context() as patch:
            patch.chdir(current)
            message = refusal(train, entry, by=by)
            assert f"can be train/cat/1.png, or {train.root}/test/cat/1.png from the current folder: begin" in message
            assert marked(train, "train/cat/1.png", "train/dog/9.png") == ["cat/1.png", "dog/9.png"]
    for current in ("own", "own/train", "own/train/cat"):
        monkeypatch.chdir(Path(train.root or "") / current.removeprefix("own").lstrip("/"))
        assert marked(train, "cat/1.png", "train/dog/9.png") == ["cat/1.png", "dog/9.png"]


def _made(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_table_with_the_name_of_a_list_gets_a_hint() -> None:
    assert refusal(data(folder()), "path,user", "cat/1.png,3").endswith("(a table must have the name .csv or .tsv)")


def test_file_names_alone_need_a_word() -> None:
    train = data(folder("cat/Z.png"))
    assert "scheme.by=id takes names of files" in refusal(train, "25.png")
    assert marked(train, "25.png", "IMG 1", "a", by="id") == ["dog/25.png", "dog/IMG 1.png", "dog/sub/a.png"]
    assert "can be train/cat/Z.png and train/dog/Z.png" in refusal(train, "Z.png", by="id")


@pytest.mark.parametrize("more", [["dog/0.gif"], ["dog/9/b.png"], ["cat/.hidden.png"], ["cat/1/a.png", "dog/0.gif"], []])
def test_positions_are_those_of_imagefolder(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    train = data(folder(*more))
    samples = [Path(path).relative_to("own").as_posix() for path, _ in ImageFolder("own/train").samples]
    for position, name in enumerate(samples):
        if name in train.ids:
            assert marked(train, str(position), by="position") == [name.removeprefix("train/")]
        else:
            assert "1 of 1 do not" in refusal(train, str(position), by="position")
    differ = samples != list(train.ids)
    assert ("torchvision's ImageFolder lists" in capsys.readouterr().out) == differ
    assert differ == bool(more) or more == ["dog/9/b.png"]


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        ("dog/0.gif", "position 3, which is train/dog/25.png there and train/dog/0.gif here"),
        ("dog/zz.gif", "position 8, which is no image there and train/dog/zz.gif here"),
    ],
)
def test_the_first_position_that_differs_is_named(more: str, difference: str, capsys: pytest.CaptureFixture[str]) -> None:
    marked(data(folder(more)), "2", by="position")
    assert f"8 are among them; the first difference is {difference}\n" in capsys.readouterr().out


def test_a_mask_has_the_order_of_imagefolder() -> None:
    train = data(folder("dog/0.gif"))
    mask = np.zeros(len(ImageFolder("own/train").samples), bool)
    mask[4] = True
    np.save("mask.npy", mask)
    (place,) = Indices("mask.npy", None, None)(train, torch.Generator()).nonzero().flatten().tolist()
    assert ImageFolder("own/train").samples[4][0].endswith(train.ids[place])
    np.save("mask.npy", np.append(mask, False))
    with pytest.raises(InputError, match="mask of all 8 images"):
        Indices("mask.npy", None, None)(train, torch.Generator())


def test_positions_do_not_move_with_a_limit() -> None:
    root = folder()
    samples, part = ImageFolder(root / "train").samples, data(root, limit=4)
    kept = [place for place, (path, _) in enumerate(samples) if Path(path).relative_to(root).as_posix() in part.ids]
    assert len(kept) == 4
    for place in range(len(samples)):
        if place in kept:
            (name,) = marked(part, str(place), by="position")
            assert samples[place][0].endswith(name)
        else:
            refusal(part, str(place), by="position")

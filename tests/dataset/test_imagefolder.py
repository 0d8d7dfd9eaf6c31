import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop, resize
from torchvision.transforms.v2 import InterpolationMode

from dau_lightning.base.error import InputError
from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.dataset.images import Data
from dau_lightning.storage import image_cache

SIZE = 8


def picture(seed: int, width: int = 11, height: int = 9) -> Image.Image:
    """A smooth random picture, so that neighbours mean something and JPEG keeps it."""
    values = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def save(root: Path, name: str, image: Image.Image) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / name)


def test_a_file_whose_name_is_no_utf_8_is_an_image_and_a_class_of_such_a_name_is_refused(root: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    save(root, f"train/cat/{name}.png", picture(9))
    options: dict[str, Any] = {"train_limit": None, "test_limit": None, "seed": 0, "cache": str(tmp_path / "cache")}
    assert f"train/cat/{name}.png" in imagefolder(str(root), SIZE, 3, **options).train.ids
    save(root, f"train/{name}/1.png", picture(9))
    with pytest.raises(InputError, match=r"names in UTF-8 in .*train, found \['caf\\udce9'\]"):
        imagefolder(str(root), SIZE, 3, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with four training and two test images each."""
    folder = tmp_path / "images"
    for i in range(8):
        save(folder, f"train/{'cat' if i < 4 else 'dog'}/{i}.png", picture(i))
    for i in range(4):
        save(folder, f"test/{'cat' if i < 2 else 'dog'}/{i}.png", picture(100 + i))
    return folder


def load(root: Path, train_limit: int | None = None, test_limit: int | None = None, seed: int = 0, channels: int = 3) -> Data:
    return imagefolder(str(root), SIZE, channels, train_limit, test_limit, seed, str(root.parent / "store"))


def reference(image: Image.Image, size: int = SIZE) -> np.ndarray:
    """Torchvision's own resize and crop."""
    resized = resize(cast(Any, image), [size], InterpolationMode.BICUBIC)
    return np.asarray(center_crop(resized, [size])).transpose(2, 0, 1).astype(int)


def refused(root: Path, *parts: str, **settings: int) -> None:
    with pytest.raises(InputError) as caught:
        load(root, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in ("dataset.root: needs", *parts)), message


def test_shapes_names_ids_and_targets(root: Path) -> None:
    data = load(root)
    assert data.val is None
    for name, part, count in (("train", data.train, 8), ("test", data.test, 4)):
        assert part.images.shape == (count, 3, SIZE, SIZE)
        assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
        assert part.class_names == ("cat", "dog")
        assert part.targets.tolist() == [0] * (count // 2) + [1] * (count // 2)
        assert part.ids == tuple(f"{name}/{'cat' if i < count // 2 else 'dog'}/{i}.png" for i in range(count))
    for i in range(4):
        assert np.abs(data.test.images[i].numpy() - reference(picture(100 + i))).max() <= 1


def test_grey_images_have_one_channel(root: Path) -> None:
    data = load(root, channels=1)
    assert data.test.images.shape == (4, 1, SIZE, SIZE)
    for i in range(4):
        assert np.abs(data.test.images[i, 0].numpy() - reference(picture(100 + i).convert("L").convert("RGB"))).max() <= 1
    assert load(root).test.images.shape == (4, 3, SIZE, SIZE)


def test_names_with_spaces_and_unicode_nested_hidden_and_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my images"
    for name in ("train/été 1/b.png", "train/été 1/a/z.png", "train/犬/x y.png", "test/犬/ü.png", "val/été 1/v.png"):
        save(root, name, picture(len(name)))
    for name in ("train/犬/.hidden.png", "train/犬/.git/x.png", "train/.cache/x.png"):
        save(root, name, picture(0))
    (root / "train/犬/notes.txt").write_text("no image")
    (root / "train/README.md").write_text("no class")
    data = load(root)
    said = capsys.readouterr().out
    assert "warning: 2 files are skipped" in said
    assert said.rstrip().endswith("image extension: train/README.md, train/犬/notes.txt")
    assert data.train.class_names == ("été 1", "犬")
    assert data.train.ids == ("train/été 1/a/z.png", "train/été 1/b.png", "train/犬/x y.png")
    assert data.train.targets.tolist() == [0, 0, 1]
    assert (data.test.ids, data.test.targets.tolist()) == (("test/犬/ü.png",), [1])
    assert data.val is not None
    assert (data.val.ids, data.val.targets.tolist()) == (("val/été 1/v.png",), [0])
    assert np.abs(data.val.images[0].numpy() - reference(picture(len("val/été 1/v.png")))).max() <= 1


def test_links_are_followed_once(root: Path, tmp_path: Path) -> None:
    save(tmp_path, "elsewhere/e.png", picture(0))
    (root / "train/cat/linked").symlink_to(tmp_path / "elsewhere")
    for name, target in (("self", "."), ("up", ".."), ("top", "../.."), ("again", "linked")):
        (root / "train/cat" / name).symlink_to(target)
    ids = load(root).train.ids
    assert sorted(ids[:5]) == [
        "train/cat/0.png",
        "train/cat/1.png",
        "train/cat/2.png",
        "train/cat/3.png",
        "train/cat/again/e.png",
    ]
    assert len(ids) == 9


def test_limits_are_balanced_seeded_and_applied_before_decoding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = load(root, 4, 2, 0), load(root, 4, 2, 0)
    assert first.train.targets.tolist() == [0, 0, 1, 1]
    assert first.test.targets.tolist() == [0, 1]
    assert (first.train.ids, first.test.ids) == (again.train.ids, again.test.ids)
    assert len({load(root, 4, 2, seed).train.ids for seed in range(8)}) > 1
    for part in (first.train, first.test):
        for name, image in zip(part.ids, part.images, strict=True):
            with Image.open(root / name) as stored:
                assert np.abs(image.numpy() - reference(stored)).max() <= 1
    original, paths = image_cache.decode, []
    monkeypatch.setattr(image_cache, "decode", lambda path, *form: (paths.append(path), original(path, *form))[1])
    load(root, 3, 3, 0)
    assert len(paths) == 6
    load(root, 3, 3, 0)
    assert len(paths) == 6 + 6  # all are compared with the cache: fewer than `image_cache.COMPARED`


def test_classes_stand_in_the_order_that_is_given(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"train_limit": None, "test_limit": None, "seed": 0, "cache": str(root.parent / "store")}
    (root / "valid").mkdir()
    data = imagefolder(str(root), SIZE, 3, **options, classes=["dog", "cat"])
    assert f"warning: {root}/valid is not used: name it val/" in capsys.readouterr().out
    assert data.train.class_names == ("dog", "cat")
    assert [name.split("/")[1] for name in data.train.ids] == [data.train.class_names[i] for i in data.train.targets]
    for wrong in (["dog"], ["dog", "cat", "cat"], ["dog", 3]):
        with pytest.raises(InputError, match=r"dataset\.classes: must name every class folder once"):
            imagefolder(str(root), SIZE, 3, **options, classes=wrong)
    with pytest.raises(InputError, match=r"dataset\.image_size: needs one number or \[HEIGHT,WIDTH\], got \(8,\)"):
        imagefolder(str(root), [8], 3, **options)
    assert imagefolder(str(root), [8, 12], 3, **options).test.images.shape == (4, 3, 8, 12)


def test_turned_images_are_counted_and_can_be_left(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in ("train/cat/0.png", "test/dog/3.png"):
        picture(0, SIZE, SIZE).save(root / name, exif=exif)
    turned = load(root)
    assert turned.turned == 2
    assert "2 of 12 images were turned as their EXIF data say; dataset.exif=false" in capsys.readouterr().out
    left = imagefolder(str(root), SIZE, 3, None, None, 0, str(root.parent / "store"), exif=False)
    assert (left.turned, left.unturned) == (0, 2)
    assert torch.equal(left.train.images[0].flip(1, 2), turned.train.images[0])


def test_a_limit_below_the_number_of_classes(root: Path) -> None:
    with pytest.raises(InputError, match=r"^dataset\.train_limit: needs at least one image a class, 2 classes, got 1$"):
        load(root, train_limit=1)
    with pytest.raises(InputError, match=r"^dataset\.test_limit: needs at least one image a class, 2 classes, got 1$"):
        load(root, test_limit=1)


def test_no_root(tmp_path: Path) -> None:
    refused(tmp_path / "none", f"found no folder {tmp_path / 'none'}")


@pytest.mark.parametrize("name", ["train", "test"])
def test_no_set(root: Path, name: str) -> None:
    (root / name).rename(root / "other")
    refused(root, f"found no folder {root / name}")


@pytest.mark.parametrize(("name", "found"), [("train", "at least two class folders"), ("test", "class folders in")])
def test_no_class_folder(root: Path, name: str, found: str) -> None:
    (root / name).rename(root / "other")
    (root / name).mkdir()
    save(root, f"{name}/a.png", picture(0))
    refused(root, found, str(root / name), "found none")


def test_one_class(root: Path) -> None:
    (root / "train/dog").rename(root / "dog")
    refused(root, "at least two class folders", "found ['cat']")


@pytest.mark.parametrize("name", ["train/empty", "test/dog", "val/dog"])
def test_a_class_without_images(root: Path, name: str) -> None:
    if (root / name).exists():
        (root / name).rename(root / "dog")
    (root / name).mkdir(parents=True)
    (root / name / "notes.txt").write_text("")
    refused(root, f"at least one image in every class, found none in {root / name}")


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_class_that_train_lacks(root: Path, name: str) -> None:
    save(root, f"{name}/horse/a.png", picture(0))
    refused(root, f"found ['horse'] only in {root / name}")


def test_test_may_lack_a_class(root: Path) -> None:
    (root / "test/cat").rename(root / "cat")
    assert load(root, test_limit=1).test.targets.tolist() == [1]


def test_an_image_that_cannot_be_read(root: Path) -> None:
    (root / "train/dog/bad.png").write_bytes(b"no image")
    refused(root, f"cannot read {root}/train/dog/bad.png (")
    assert not list((root.parent / "store").glob("*.safetensors"))


def test_a_dangling_link(root: Path) -> None:
    (root / "train/dog/link.png").symlink_to("nowhere.png")
    refused(root, f"no regular file at {root}/train/dog/link.png")

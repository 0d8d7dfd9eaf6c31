from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dau_lightning.base.error import InputError
from dau_lightning.dataset.cifar10_jpeg import CLASSES, cifar10_jpeg


def folder(root: Path, classes: tuple[str, ...]) -> str:
    random = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number:04d}.jpg", quality=75)
    return str(root)


def test_the_ten_classes_are_numbered_as_in_the_official_archive(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", CLASSES)
    data = cifar10_jpeg(root, 20, None, 0, str(tmp_path / "cache"))
    assert data.train.images.shape == (20, 3, 32, 32)
    assert data.test.targets.bincount().tolist() == [2] * 10
    assert data.test.ids[6] == "test/cat/0000.jpg"
    with Image.open(tmp_path / "images" / "test/cat/0000.jpg") as image:
        assert (np.asarray(image).transpose(2, 0, 1) == data.test.images[6].numpy()).all()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "images", ("cat", "dog"))
    with pytest.raises(InputError, match=r"^dataset\.root: needs the ten classes .* found cat, dog; .*imagefolder$"):
        cifar10_jpeg(root, None, None, 0, str(tmp_path / "cache"))

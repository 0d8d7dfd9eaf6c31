from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dau_lightning.base.error import InputError
from dau_lightning.dataset.cifar10_jpeg import CLASSES, cifar10_jpeg


def test_the_ten_classes_are_numbered_as_in_the_official_archive(jpeg_folder: Callable[[Sequence[str]], str], tmp_path: Path):
    root = jpeg_folder(CLASSES)
    data = cifar10_jpeg(root, 20, None, 0, str(tmp_path / "cache"))
    assert data.train.images.shape == (20, 3, 32, 32)
    assert data.test.targets.bincount().tolist() == [2] * 10
    assert data.test.ids[6] == "test/cat/0000.jpg"
    with Image.open(tmp_path / "images" / "test/cat/0000.jpg") as image:
        assert (np.asarray(image).transpose(2, 0, 1) == data.test.images[6].numpy()).all()


def test_another_folder_is_refused(jpeg_folder: Callable[[Sequence[str]], str], tmp_path: Path):
    root = jpeg_folder(("cat", "dog"))
    message = r"^dataset\.root: needs the 10 classes of CIFAR-10 \(airplane, .*, truck\) in .* found cat, dog; .*imagefolder$"
    with pytest.raises(InputError, match=message):
        cifar10_jpeg(root, None, None, 0, str(tmp_path / "cache"))

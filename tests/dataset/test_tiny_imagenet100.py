from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dau_lightning.base.error import InputError
from dau_lightning.dataset.tiny_imagenet100 import CLASSES, tiny_imagenet100


def test_a_hundred_classes_with_their_pixels(jpeg_folder: Callable[[Sequence[str]], str], tmp_path: Path):
    root = jpeg_folder(CLASSES)
    data = tiny_imagenet100(root, 200, None, 0, str(tmp_path / "cache"))
    assert data.train.images.shape == (200, 3, 32, 32)
    assert data.train.targets.bincount().tolist() == data.test.targets.bincount().tolist() == [2] * 100
    assert (data.test.ids[0], data.test.ids[199]) == ("test/abacus/0000.jpg", "test/yorkshire_terrier/0001.jpg")
    with Image.open(tmp_path / "images" / data.test.ids[8]) as image:
        assert (np.asarray(image).transpose(2, 0, 1) == data.test.images[8].numpy()).all()


def test_a_folder_that_lacks_a_class_is_refused(jpeg_folder: Callable[[Sequence[str]], str], tmp_path: Path):
    root = jpeg_folder(CLASSES[1:])
    message = r"needs the 100 classes of Tiny-ImageNet-100 \(abacus, .*, \.\.\.\) in .* found academic_gown, .*\.\.\.; for"
    with pytest.raises(InputError, match=message):
        tiny_imagenet100(root, None, None, 0, str(tmp_path / "cache"))

"""A part of Fashion-MNIST that ships with this package: 2,000 training and 2,000 test grey images of 14x14, ten classes."""

import io
import lzma
from importlib.resources import files

import numpy as np

from dau_lightning.dataset.download import numbered
from dau_lightning.dataset.draw import limited_data
from dau_lightning.dataset.fashion_mnist import CLASS_NAMES
from dau_lightning.dataset.images import Data, Images

FILE = "fashion.npy.xz"  # made by `fashion_file.py`; licence in `fashion-LICENSE.txt`
SIZE = 14  # pixels a side
TRAIN = 2000  # images of the file that are training images; the others are test images


def fashion(train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The images, uint8 `(N, 1, 14, 14)`: the first 200 of each class in the official training set and in the test set.

    Args:
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps, but not which images are test images.

    Raises:
        InputError: a limit is smaller than the number of classes.
    """
    table = np.load(io.BytesIO(lzma.decompress((files("dau_lightning.dataset") / FILE).read_bytes())))
    parts = {"train": table[:TRAIN], "test": table[TRAIN:]}
    return limited_data(lambda name: _part(name, parts[name]), train_limit, test_limit, seed)


def _part(name: str, table: np.ndarray) -> Images:
    """A set of images from a table whose rows hold 196 pixels and a label."""
    pixels, labels = table[:, :-1].reshape(-1, 1, SIZE, SIZE), table[:, -1]
    return numbered(name, pixels.copy(), labels.astype(np.int64), CLASS_NAMES)

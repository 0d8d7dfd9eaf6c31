"""Handwritten digits that ship inside scikit-learn: 1,797 grey images of 8x8 in ten classes (UCI, Alpaydin & Kaynak 1998)."""

from typing import cast

import torch
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from dau_lightning.base.randomness import generator
from dau_lightning.dataset.draw import balanced, limited_data
from dau_lightning.dataset.images import Data, Images

TEST_COUNT = 450  # The digits have no official test set: this one is fixed, balanced over classes, the same for every seed.


def digits(train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The digits as 1,347 training and 450 test images, uint8 `(N, 1, 8, 8)`, the original 0..16 stretched to 0..255.

    Args:
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps, but not which images are test images.

    Raises:
        InputError: a limit is smaller than the number of classes.
    """
    bunch = cast(Bunch, load_digits())
    images = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    targets = torch.from_numpy(bunch.target).long()
    everything = Images(images, targets, tuple("0123456789"), tuple(f"{i:04d}" for i in range(len(targets))))
    test = torch.zeros(len(targets), dtype=torch.bool)
    test[balanced(targets, TEST_COUNT, generator("the test set of the digits"))] = True
    parts = {"train": everything[~test], "test": everything[test]}
    return limited_data(parts.__getitem__, train_limit, test_limit, seed)

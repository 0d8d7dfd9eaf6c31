"""CIFAR-100: 50,000 training and 10,000 test colour photographs of 32x32 in a hundred classes (Krizhevsky 2009)."""

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torchvision.datasets import CIFAR100

from dau_lightning.dataset.cifar10 import official
from dau_lightning.dataset.draw import limited_data
from dau_lightning.dataset.images import Data, Images


def cifar100(root: str, train_limit: int | None, test_limit: int | None, seed: int, level: str = "fine") -> Data:
    """The official training and test images, uint8 `(N, 3, 32, 32)`, downloaded at first use.

    Args:
        root: the folder that holds `cifar-100-python` or `cifar-100-python.tar.gz`, or gets them.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.
        level: the labels to learn: `fine`, a hundred classes, or `coarse`, twenty superclasses of five classes each.

    Raises:
        InputError: the data is missing and could not be downloaded, or a limit is smaller than the number of classes.
    """
    return limited_data(partial(_official, root, level=level), train_limit, test_limit, seed)


def _official(root: str, name: str, level: str) -> Images:
    """A set with the labels of both levels. Torchvision returns fine labels alone, but has checked the files read here."""
    fine, folder = official(CIFAR100, root, name), Path(root).expanduser() / CIFAR100.base_folder
    batch, meta = (pickle.loads((folder / file).read_bytes(), encoding="latin1") for file in (name, "meta"))
    coarse = torch.tensor(batch["coarse_labels"]), tuple(meta["coarse_label_names"])
    levels = {"fine": (fine.targets, fine.class_names), "coarse": coarse}
    targets, class_names = levels[level]
    return replace(fine, targets=targets, class_names=class_names, levels=levels)

"""CIFAR-10: 50,000 training and 10,000 test colour photographs of 32x32 in ten classes (Krizhevsky 2009)."""

from functools import partial

from torchvision.datasets import CIFAR10

from dau_lightning.dataset.download import downloaded, numbered
from dau_lightning.dataset.draw import limited_data
from dau_lightning.dataset.images import Data, Images


def cifar10(root: str, train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The official training and test images, uint8 `(N, 3, 32, 32)`, downloaded into `root` at first use.

    Args:
        root: the folder that holds `cifar-10-batches-py` or `cifar-10-python.tar.gz`, or gets them.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.

    Raises:
        InputError: the data is missing and could not be downloaded, or a limit is smaller than the number of classes.
    """
    return limited_data(partial(official, CIFAR10, root), train_limit, test_limit, seed)


def official(kind: type[CIFAR10], root: str, name: str) -> Images:
    """The official `train` or `test` set of CIFAR-10 or CIFAR-100; torchvision reads both in the same way.

    Raises:
        InputError: the data is missing and could not be downloaded.
    """
    part = downloaded(lambda download: kind(root, train=name == "train", download=download), root, kind.filename)
    return numbered(name, part.data.transpose(0, 3, 1, 2), part.targets, part.classes)

"""CIFAR-100: 50,000 training and 10,000 test colour photographs of 32x32 in a hundred classes (Krizhevsky 2009)."""

from torchvision.datasets import CIFAR100

from dau_lightning.dataset import Data, limited
from dau_lightning.dataset.cifar10 import official
from dau_lightning.randomness import generator


def cifar100(root: str, train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The official training and test images with their fine labels, uint8 `(N, 3, 32, 32)`, downloaded at first use.

    Args:
        root: the folder that holds `cifar-100-python` or `cifar-100-python.tar.gz`, or gets them.
        train_limit: class-balanced number of training images to keep, or None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.

    Raises:
        InputError: the data is missing and could not be downloaded, or a limit is smaller than the number of classes.
    """
    draws = generator(seed, "limit")
    return Data(
        train=limited(official(CIFAR100, root, "train"), train_limit, "dataset.train_limit", draws),
        test=limited(official(CIFAR100, root, "test"), test_limit, "dataset.test_limit", draws),
    )

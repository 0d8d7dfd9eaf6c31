"""CIFAR-10 with every image as a JPEG file in a folder: the photographs of CIFAR-10 in another order, not the same bytes."""

from dau_lightning.dataset.images import Data
from dau_lightning.dataset.known_folder import known_folder

CLASSES = "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"


def cifar10_jpeg(root: str, train_limit: int | None, test_limit: int | None, seed: int, cache: str) -> Data:
    """The 50,000 training and 10,000 test images; arguments and errors are those of `known_folder`."""
    return known_folder("CIFAR-10", CLASSES, root, train_limit, test_limit, seed, cache)

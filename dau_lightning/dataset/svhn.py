"""SVHN: 73,257 training and 26,032 test colour crops of 32x32 from house numbers, ten digits (Netzer et al. 2011)."""

from functools import partial

from torchvision.datasets import SVHN

from dau_lightning.dataset.download import downloaded, numbered
from dau_lightning.dataset.draw import limited_data
from dau_lightning.dataset.images import Data, Images


def svhn(root: str, train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The official training and test images, uint8 `(N, 3, 32, 32)`, downloaded into `root` at first use.

    Label 10 of the files, the digit zero, becomes target 0. The 531,131 easier `extra` images are left out.

    Args:
        root: the folder that holds `train_32x32.mat` and `test_32x32.mat`, or gets them.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.

    Raises:
        InputError: the data is missing and could not be downloaded, or a limit is smaller than the number of classes.
    """
    return limited_data(partial(_official, root), train_limit, test_limit, seed)


def _official(root: str, name: str) -> Images:
    archive = SVHN.split_list[name][1]
    part = downloaded(lambda download: SVHN(root, split=name, download=download), root, archive)
    return numbered(name, part.data, part.labels, "0123456789")

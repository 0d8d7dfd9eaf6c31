"""Fashion-MNIST: 60,000 training and 10,000 test grey images of 28x28 of clothes, in ten classes (Xiao et al. 2017)."""

import gzip
import hashlib
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from torchvision.datasets import FashionMNIST

from dau_lightning.base.error import InputError
from dau_lightning.dataset.download import downloaded, numbered
from dau_lightning.dataset.draw import limited_data
from dau_lightning.dataset.images import Data, Images

PREFIXES = {"train": "train", "test": "t10k"}  # with which the names of the official files begin
PIXEL_AXES, LABEL_AXES = 3, 1
SHA256 = {  # hashes of the decompressed files, since distributors compress them in different ways
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
CLASS_NAMES = tuple(name.replace("/", " or ") for name in FashionMNIST.classes)  # as a path, "T-shirt/top" would be two folders


def fashion_mnist(root: str, train_limit: int | None, test_limit: int | None, seed: int) -> Data:
    """The official training and test images, uint8 `(N, 1, 28, 28)`.

    Args:
        root: the folder of the four official files (`train-images-idx3-ubyte.gz`, ...). If it lacks them, torchvision
            downloads them into its subfolder `FashionMNIST/raw` at first use.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.

    Raises:
        InputError: the data is missing or damaged and could not be downloaded, or a limit is below the number of classes.
    """
    return limited_data(partial(official, root), train_limit, test_limit, seed)


def official(root: str, name: str) -> Images:
    """The official `train` or `test` set, with ids such as `train/00017`.

    Raises:
        InputError: the data is missing or damaged and could not be downloaded.
    """
    folder = Path(root).expanduser()
    files = [folder / f"{PREFIXES[name]}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1")]
    if all(file.is_file() for file in files):
        pixels, labels = _read(files[0], PIXEL_AXES), _read(files[1], LABEL_AXES)
    else:
        part = downloaded(
            lambda download: FashionMNIST(root, train=name == "train", download=download), root, "FashionMNIST/raw"
        )
        pixels, labels = part.data.numpy(), part.targets.numpy()
    return numbered(name, pixels[:, None], labels, CLASS_NAMES)


def _read(path: Path, axes: int) -> np.ndarray:
    """The uint8 array in an official file. Its format is IDX: two zero bytes, dtype, number of axes, their sizes, values."""
    try:
        plain = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"dataset.root: {path} cannot be read ({error}): download it again") from error
    if hashlib.sha256(plain).hexdigest() != SHA256[path.name]:
        raise InputError(f"dataset.root: {path} does not hold the official images (its content differs): download it again")
    shape = np.frombuffer(plain, ">i4", axes, offset=4)
    return np.frombuffer(plain, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()

"""CIFAR-10 with every image as a JPEG file in a folder: the photographs of CIFAR-10 in another order, not the same bytes."""

from dau_lightning.base.error import require
from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.dataset.images import Data

CLASSES = "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"


def cifar10_jpeg(root: str, train_limit: int | None, test_limit: int | None, seed: int, cache: str) -> Data:
    """The 50,000 training and 10,000 test images of such a folder, uint8 `(N, 3, 32, 32)`.

    Args:
        root: the folder with `train/<class>/` and `test/<class>/`.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.
        cache: the folder for the decoded images.

    Raises:
        InputError: the folder has other classes, an image cannot be read, or a limit is smaller than the number of classes.
    """
    data = imagefolder(root, 32, 3, train_limit, test_limit, seed, cache)
    require(
        data.train.class_names == CLASSES,
        f"dataset.root: needs the ten classes of CIFAR-10 ({', '.join(CLASSES)}) in {root}, found "
        f"{', '.join(data.train.class_names[:10])}; for other images choose dataset=imagefolder",
    )
    return data

"""A data set that is known by its class names, as 32x32 images in a folder."""

from collections.abc import Sequence

from dau_lightning.base.error import require
from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.dataset.images import Data

SHOWN = 10  # class names in a message


def known_folder(
    name: str, classes: Sequence[str], root: str, train_limit: int | None, test_limit: int | None, seed: int, cache: str
) -> Data:
    """The images of such a folder, uint8 `(N, 3, 32, 32)`.

    Args:
        name: of the data set, for errors.
        classes: the names of its class folders, sorted.
        root: the folder with `train/<class>/` and `test/<class>/`.
        train_limit: number of training images to keep, balanced over classes; None for all.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.
        cache: the folder for the decoded images.

    Raises:
        InputError: the folder has other classes, an image cannot be read, or a limit is smaller than the number of classes.
    """
    data = imagefolder(root, 32, 3, train_limit, test_limit, seed, cache)
    found = data.train.class_names
    require(
        found == tuple(classes),
        f"dataset.root: needs the {len(classes)} classes of {name} ({_some(classes)}) in {root}, found {_some(found)}; "
        "for other images choose dataset=imagefolder",
    )
    return data


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)

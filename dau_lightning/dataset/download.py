"""Reads a torchvision data set from its folder, downloads it at first use, and turns its parts into `Images`."""

from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError

import numpy as np
import torch
from filelock import FileLock

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images

T = TypeVar("T")


def downloaded(build: Callable[[bool], T], root: str, archive: str) -> T:
    """The data set that `build(False)` reads from `root`; if that fails, `build(True)` downloads it, in one process at a time.

    Args:
        build: makes the torchvision data set; its argument is torchvision's `download`.
        root: the folder of the data.
        archive: the name of the downloaded file, for the error.

    Raises:
        InputError: the data is missing or damaged and could not be downloaded.
    """
    folder = Path(root).expanduser()
    try:
        return build(False)
    except RuntimeError:  # torchvision: "Dataset not found or corrupted"
        found = "damaged" if (folder / archive).exists() else "missing"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{archive}.lock"):
            return build(True)
    # HTTPException, neither a URLError nor an OSError: the server closed the connection or sent an invalid answer.
    except (URLError, HTTPException, OSError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"dataset.root: {archive} is {found} in {folder} and the data could not be downloaded ({reason}); "
            f"put {archive} into {folder}, or run once with network"
        ) from error


def numbered(name: str, images: np.ndarray, targets: Sequence[int] | np.ndarray, class_names: Sequence[str]) -> Images:
    """`Images` from uint8 `(N, C, H, W)` and targets `(N,)`, with ids `name/00000`, `name/00001` and so on."""
    ids = tuple(f"{name}/{i:05d}" for i in range(len(images)))
    return Images(torch.from_numpy(images).contiguous(), torch.as_tensor(targets).long(), tuple(class_names), ids)

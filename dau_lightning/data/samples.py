"""Turns images, labels and positions that a Python program passes into this package's types."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Data, Images

Samples = Any  # a torch data set of (image, label), or a pair of tensors (images, labels)


def as_positions(forget: Iterable[int] | Tensor, count: int) -> list[int]:
    """Positions among `count` images, from positions (kept as they are) or from a bool mask."""
    values = np.asarray(forget.cpu() if isinstance(forget, Tensor) else list(forget))
    if values.dtype == bool:
        require(values.shape == (count,), f"forget must be a mask of all {count} images of train, got shape {values.shape}")
        return values.nonzero()[0].tolist()
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise InputError(
            f"forget must hold integers, positions in train, or be a mask of it; got {values.dtype}, shape {values.shape}"
        )
    return values.tolist()


def as_data(sets: Mapping[str, Samples | None], class_names: Sequence[str] | None) -> Data:
    """The sets `train`, `test` and `val` as `Data`, with ids such as `train/00017`; `val` may be None.

    Raises:
        InputError: a set has no images, images of different sizes or of a wrong range, or labels without a class name.
    """
    images = {name: _tensors(name, samples) for name, samples in sets.items() if samples is not None}
    names = tuple(class_names or map(str, range(1 + max(int(labels.max()) for _, labels in images.values()))))
    made = {name: _images(name, *tensors, names) for name, tensors in images.items()}
    return Data(made["train"], made["test"], made.get("val"))


def _tensors(name: str, samples: Samples) -> tuple[Tensor, Tensor]:
    """Images uint8 `(N, C, H, W)` and labels int64 `(N,)`."""
    if isinstance(samples, tuple) and len(samples) == 2 and isinstance(samples[0], Tensor):
        pixels, labels = samples
    else:
        items = [samples[index] for index in range(len(samples))]
        require(bool(items), f"{name} must hold at least one image")
        made = [_tensor(image) for image, _ in items]
        if len({image.shape for image in made}) > 1:
            raise InputError(f"{name} must hold images of one size and number of channels: resize them first")
        pixels, labels = torch.stack(made), torch.tensor([int(label) for _, label in items])
    require(pixels.ndim == 4 and len(pixels) == len(labels), f"{name} must hold images (N, C, H, W) and as many labels (N,)")
    if pixels.is_floating_point():
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"{name} must hold uint8 images, or floats in [0, 1] before normalisation (that is mean= and std=); "
                f"got {low:.2f} to {high:.2f}"
            )
        pixels = pixels.mul(255).round()
    return pixels.to(torch.uint8).contiguous(), labels.long()


def _tensor(image: Any) -> Tensor:
    """An image `(C, H, W)`."""
    if isinstance(image, Tensor):
        return image
    array = np.array(image)
    return torch.from_numpy(array[:, :, None] if array.ndim == 2 else array).permute(2, 0, 1)


def _images(name: str, pixels: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Images:
    low, high = int(labels.min()), int(labels.max())
    require(
        low >= 0 and high < len(class_names), f"{name} must have labels from 0 to {len(class_names) - 1}, got {low} to {high}"
    )
    return Images(pixels, labels, class_names, tuple(f"{name}/{i:05d}" for i in range(len(labels))))

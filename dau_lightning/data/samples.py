"""Turns images, labels and positions that a Python program passes into this package's types."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Data, Images

Samples = Any  # a torch data set of (image, label), or a pair (images, labels) of tensors, arrays or lists

WANTED = "a data set of (image, label), or a pair (images, labels) of tensors, arrays or lists"
PLAIN_MODES = "L", "LA", "RGB", "RGBA"  # of Pillow: 8 bits a channel
NO_DATA: tuple[type, ...] = str, bytes, Mapping, IterableDataset
CONVERTED_MODES = {"1": "L", "P": "RGB", "PA": "RGBA"}


def as_array(forget: Any) -> np.ndarray:
    """The positions or the mask that a program passes as `forget`, as an array.

    Raises:
        InputError: it is no sequence of numbers.
    """
    wanted = "forget must hold integers, positions in train, or be a mask of it; got"
    require(not isinstance(forget, Subset), "forget must be positions in train: give the Subset's .indices")
    try:
        require(not isinstance(forget, str | bytes | Mapping | DataLoader), f"{wanted} {type(forget).__name__}")
        values = forget.detach().cpu().numpy() if isinstance(forget, Tensor) else forget
        values = values if isinstance(values, np.ndarray) and values.ndim else list(values)
        require(len({type(value) is bool for value in values}) < 2, f"{wanted} true or false among numbers")
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # no list, or lists of several lengths
        raise error if isinstance(error, InputError) else InputError(f"{wanted} {type(forget).__name__}: {error}") from error


def as_data(sets: Mapping[str, Samples | None], class_names: Sequence[str] | None) -> Data:
    """The sets `train`, `test` and `val` as `Data`, with ids such as `train/00017`; `val` may be None.

    Raises:
        InputError: a set has no images, images of different sizes or of a wrong range, or labels without a class name.
    """
    images = {name: _tensors(name, samples) for name, samples in sets.items() if samples is not None or name != "val"}
    names = _names(class_names, 1 + max(int(labels.max()) for _, labels in images.values()))
    made = {name: _images(name, *tensors, names) for name, tensors in images.items()}
    return Data(made["train"], made["test"], made.get("val"))


def _names(class_names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """The name of each class: numbers where the program gives none."""
    if class_names is None:
        return tuple(map(str, range(classes)))
    names = list(class_names) if isinstance(class_names, list | tuple | np.ndarray) else []
    right = len(names) >= classes and all(isinstance(name, str) for name in names) and len({*names}) == len(names)
    require(right, f"class_names must be a list of different texts, one for each of the {classes} classes; got {class_names!r}")
    return tuple(map(str, names))


def _tensors(name: str, samples: Samples) -> tuple[Tensor, Tensor]:
    """Images uint8 `(N, C, H, W)` and labels int64 `(N,)`."""
    images, labels = samples if _is_pair(samples) else zip(*_items(name, samples), strict=True)
    if hasattr(images, "shape"):
        pixels = _bytes(name, images)
        require(pixels.ndim in (3, 4), f"{name} must hold images (N, C, H, W), got shape {tuple(pixels.shape)}")
        pixels = _channels_first(pixels, False) if pixels.ndim == 4 else pixels.unsqueeze(1)
    else:
        require(len(images) > 0, f"{name} must hold at least one image")
        made = [_image(name, image) for image in images]
        sizes = {image.shape for image in made}
        require(len(sizes) == 1, f"{name} must hold images of one size and number of channels: resize them first")
        pixels = torch.stack(made)
    labels = _labels(name, labels if hasattr(labels, "shape") else list(map(_scalar, labels)))
    require(len(pixels) == len(labels), f"{name} must hold as many labels as images, got {len(labels)} and {len(pixels)}")
    return pixels.contiguous(), labels


def _is_pair(samples: Any) -> bool:
    """Whether samples are (images, labels), each an array, tensor or list, and not two items (image, label)."""
    if not isinstance(samples, tuple | list) or len(samples) != 2:
        return False
    several = (isinstance(part, tuple | list) or len(getattr(part, "shape", ())) > 0 for part in samples)
    return all(several) and not any(map(_is_item, samples))


def _is_item(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) > 1 and _is_image(value[0]) and not _is_image(value[-1])


def _items(name: str, samples: Any) -> list[tuple[Any, Any]]:
    """The items of a data set, after checking that each is a pair."""
    got = f"{name} must be {WANTED}; got"
    require(not isinstance(samples, DataLoader), f"{got} a DataLoader: give its .dataset")
    known = hasattr(samples, "__len__") and hasattr(samples, "__getitem__")
    require(known and not isinstance(samples, NO_DATA), f"{got} {type(samples).__name__}")
    require(len(samples) > 0, f"{name} must hold at least one image")
    items: list[Any] = [samples[index] for index in range(len(samples))]
    for item in items:
        if isinstance(item, Mapping):
            raise InputError(f"{got} items that are dictionaries with {', '.join(map(str, item))}: make them pairs")
        size = len(item) if isinstance(item, tuple | list) else 1
        require(size == 2, f"{got} items that are {f'tuples of {size}' if size != 1 else type(item).__name__}: make them pairs")
    return items


def _is_image(value: Any) -> bool:
    return isinstance(value, Image.Image) or (hasattr(value, "shape") and len(value.shape) > 1)


def _image(name: str, image: Any) -> Tensor:
    """An image, uint8 `(C, H, W)`."""
    if isinstance(image, Image.Image):
        image = image.convert(CONVERTED_MODES.get(image.mode, image.mode))
        known = f"{name} must hold Pillow images of 8 bits a channel ({', '.join(PLAIN_MODES)})"
        require(image.mode in PLAIN_MODES, f"{known}, got mode {image.mode}: convert them as for the training")
        image = np.array(image)
    require(_is_image(image), f"{name} must hold images as tensors, arrays or Pillow images, got {type(image).__name__}")
    pixels = _bytes(name, image)
    require(pixels.ndim in (2, 3), f"{name} must hold images (C, H, W), got shape {tuple(pixels.shape)}")
    return _channels_first(pixels, not isinstance(image, Tensor)) if pixels.ndim == 3 else pixels.unsqueeze(0)


def _channels_first(pixels: Tensor, usually_last: bool) -> Tensor:
    """Images `(..., C, H, W)`, from these or from `(..., H, W, C)`. Up to four channels decide, if nothing else has so few."""
    first, last = (pixels.shape[place] <= 4 for place in (-3, -1))
    return pixels.movedim(-1, -3) if (usually_last if first == last else last) else pixels


def _bytes(name: str, images: Any) -> Tensor:
    """Pixels as uint8; nothing is wrapped or cut."""
    wanted = f"{name} must hold uint8 images, or floats in [0, 1] before normalisation (that is mean= and std=)"
    try:
        pixels = images.detach().cpu() if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    except TypeError as error:  # an array of texts or objects
        raise InputError(f"{wanted}; got {getattr(images, 'dtype', type(images).__name__)}") from error
    require(pixels.numel() > 0, f"{name} must hold at least one image")
    require(not pixels.is_complex(), f"{wanted}; got complex numbers")
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * 255
    if pixels.dtype == torch.uint8:
        return pixels
    floats = pixels.is_floating_point()
    pixels = pixels.float() if floats else pixels.long()
    low, high = float(pixels.min()), float(pixels.max())
    got = f"{low:.2f} to {high:.2f}" if floats else f"integers from {low:g} to {high:g}: scale them to 0..255 as in training"
    require(0 <= low <= high <= (1 if floats else 255), f"{wanted}; got {got}")
    return (pixels.mul(255).round() if floats else pixels).to(torch.uint8)


def _scalar(label: Any) -> Any:
    """A label as a number, or as it is if it is none."""
    return label.item() if hasattr(label, "shape") and tuple(label.shape) in ((), (1,)) else label


def _labels(name: str, labels: Any) -> Tensor:
    """Labels int64 `(N,)`."""
    wanted = f"{name} must have one whole number as the label of each image"
    try:
        values = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    except ValueError as error:
        raise InputError(f"{wanted}, got values of several shapes") from error
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    hint = ": of one-hot labels give .argmax(1)" if values.ndim == 2 else ""
    require(values.ndim == 1, f"{wanted}, got shape {values.shape}{hint}")
    require(values.dtype.kind in "iubf", f"{wanted}, got such as {values.tolist()[:1]}")
    whole = values.astype(np.int64) if np.isfinite(values.astype(float)).all() else None
    require(whole is not None and bool((whole == values).all()), f"{wanted}, got fractions or numbers that are not finite")
    return torch.from_numpy(whole)


def _images(name: str, pixels: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Images:
    low, high = int(labels.min()), int(labels.max())
    require(low >= 0, f"{name} must have labels from 0 to {len(class_names) - 1}, got {low} to {high}")
    return Images(pixels, labels, class_names, tuple(f"{name}/{i:05d}" for i in range(len(labels))))

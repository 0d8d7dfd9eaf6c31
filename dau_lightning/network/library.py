"""What the networks of torchvision and timm have in common: a name in the library, an input format, a constructor."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dau_lightning.base.error import require
from dau_lightning.base.nearest import did_you_mean


@dataclass(frozen=True)
class InputFormat:
    """The images a network was published for: side in pixels; mean and deviation of each channel, for pixels in [0, 1]."""

    image_size: int
    mean: list[float]
    std: list[float]


# For networks without a published format: 32x32 pixels, with ImageNet's mean and deviation.
SMALL_IMAGES = InputFormat(32, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def require_known(name: str, names: Collection[str]) -> None:
    """Raise an `InputError` unless a library has a network of this name."""
    some = next(iter(names))
    require(
        name in names,
        f"network.name must be one of {len(names)} networks such as {some!r}, got {name!r}{did_you_mean(name, names)}",
    )


def constructor_call(function: str, name: str, options: dict[str, Any]) -> list[str]:
    """Lines of Python that make a network without this package, for the model card."""
    keywords = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return [f"import {function.partition('.')[0]}", f'model = {function}("{name}", {keywords})']

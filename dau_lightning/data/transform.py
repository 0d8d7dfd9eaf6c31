"""Turns uint8 pixels into the network's input, on the device."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.error import InputError


@dataclass(frozen=True)
class Transform:
    """Normalisation of all images, and random crop and flip of training images.

    Attributes:
        mean: mean of each channel, for pixels in [0, 1].
        std: standard deviation of each channel, for pixels in [0, 1].
        crop_padding: width of the black border, in pixels, before a random crop of the image's size; 0 for no crop.
        flip: whether to mirror each image with probability 1/2.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool

    def check(self, images: Tensor) -> None:
        """Raise an `InputError` unless there is a mean and a deviation for each channel of images `(B, C, H, W)`."""
        channels = images.shape[1]
        if not (self.mean and self.std and len(self.mean) == len(self.std) == channels):
            raise InputError(
                f"transform.mean and transform.std must have one number for each of the {channels} channels of the images, "
                f"got {self.mean} and {self.std}"
            )

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 `(B, C, H, W)` to float32 of the same shape, channels last in memory."""
        return self.standardise(images.float() / 255)

    def standardise(self, pixels: Tensor) -> Tensor:
        """Map pixels in [0, 1], float `(B, C, H, W)`, to inputs of the network, channels last in memory."""
        mean, std = (_per_channel(tuple(values), pixels.device) for values in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)

    def pixels(self, inputs: Tensor) -> Tensor:
        """Map inputs of the network back to pixels in [0, 1]."""
        mean, std = (_per_channel(tuple(values), inputs.device) for values in (self.mean, self.std))
        return inputs * std + mean

    def second_view(self, side: int, crop_padding: int | None, flip: bool | None) -> "Transform":
        """The transform of a second view of training images. It always crops, so that the view is another one than the first.

        Args:
            side: of the images, in pixels.
            crop_padding: see above; None: this transform's, or an eighth of the side, rounded up, if this one does not crop.
            flip: see above; None: this transform's, or true if this one does not crop.
        """
        crops = self.crop_padding > 0
        padding = crop_padding or (self.crop_padding if crops else ceil(side / 8))
        return replace(self, crop_padding=padding, flip=(self.flip if crops else True) if flip is None else flip)

    def augment(
        self, images: Tensor, generator: torch.Generator, share: slice = slice(None), batch_size: int | None = None
    ) -> Tensor:
        """Crop and flip each image at random, with one gather on flattened pixels.

        Args:
            images: uint8 `(B, C, H, W)` on any device.
            generator: a generator on the CPU, so that every device makes the same draws.
            share: the places of the images in their batch.
            batch_size: number of images in the batch; None if these are all.
        """
        count, channels, height, width = images.shape
        padding = self.crop_padding
        draws = torch.randint(2 * padding + 1, (2, batch_size or count, 1), generator=generator)[:, share]
        flipped = torch.rand(batch_size or count, 1, generator=generator)[share] < (0.5 if self.flip else 0.0)
        (down, right), flipped = (each.to(images.device, non_blocking=True) for each in (draws, flipped))
        columns = torch.arange(width, device=images.device).expand(count, width)
        columns = torch.where(flipped, width - 1 - columns, columns) + right
        rows = torch.arange(height, device=images.device) + down
        pixels = (rows.unsqueeze(2) * (width + 2 * padding) + columns.unsqueeze(1)).view(count, 1, -1)
        padded = F.pad(images, (padding,) * 4).flatten(2)
        return padded.gather(2, pixels.expand(-1, channels, -1)).view_as(images)


@lru_cache(maxsize=16)  # a copy to a GPU would wait for all work queued before it
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, -1, 1, 1)

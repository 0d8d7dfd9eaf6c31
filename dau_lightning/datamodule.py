"""Batches on the device: the joint loader of training, the plain loader of evaluation, and the data module that owns both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.dataset import Images
from dau_lightning.error import InputError
from dau_lightning.randomness import generator
from dau_lightning.split import Split

EVALUATION_BATCH_SIZE = 1000
NOTHING: Mapping[str, Any] = MappingProxyType({})  # for no part


class Batch(NamedTuple):
    """Normalised images, float `(B, C, H, W)`, and their labels, int64 `(B,)`."""

    images: Tensor
    targets: Tensor


class Order:
    """An endless stream of sample indices: one random permutation of the part after another.

    A batch is a function of (seed, part, step) alone, always full, and cycles through parts shorter than it.

    Args:
        size: number of samples of the part.
        batch_size: number of indices a batch.
        seed: of the stream.
        name: of the part; parts have different streams.
    """

    def __init__(self, size: int, batch_size: int, seed: int, name: str) -> None:
        self.size, self.batch_size, self.seed, self.name = size, batch_size, seed, name
        self._cached: dict[int, Tensor] = {}

    def batch(self, step: int) -> Tensor:
        """The indices of the batch of a step, int64 `(batch_size,)`."""
        first, last = step * self.batch_size, (step + 1) * self.batch_size - 1
        passes = range(first // self.size, last // self.size + 1)
        kept = {number: order for number, order in self._cached.items() if number in passes}
        self._cached = {number: kept[number] if number in kept else self._permutation(number) for number in passes}
        indices = torch.cat(list(self._cached.values()))
        return indices[first - passes[0] * self.size :][: self.batch_size]

    def _permutation(self, number: int) -> Tensor:
        return torch.randperm(self.size, generator=generator(self.seed, self.name, "order", number))


class PairedOrder:
    """Indices of a part, each at random among the samples with the label that another part's batch has at the position.

    A batch is a function of (seed, part, step) and of the other part's batch alone.

    Args:
        parts: images by name.
        name: of the part.
        other: of the other part.
        order: of the other part.
        seed: of the draws.

    Raises:
        InputError: the part lacks a class of the other.
    """

    def __init__(self, parts: Mapping[str, Images], name: str, other: str, order: "Order | PairedOrder", seed: int) -> None:
        self.order, self.labels, self.seed, self.name = order, parts[other].targets.cpu(), seed, name
        classes = parts[name].class_names
        targets = parts[name].targets.cpu()
        self.counts = targets.bincount(minlength=len(classes))
        if missing := [classes[label] for label in self.labels.unique().tolist() if self.counts[label] == 0]:
            raise InputError(
                f"baseline.pairing=class needs a {name} image of every class in the {other} set, there is none of "
                f"{', '.join(missing)}"
            )
        self.by_class = targets.argsort(stable=True)
        self.first = self.counts.cumsum(0) - self.counts

    def batch(self, step: int) -> Tensor:
        """The indices of the batch of a step, int64 `(batch_size,)`."""
        labels = self.labels[self.order.batch(step)]
        draws = torch.rand(len(labels), generator=generator(self.seed, self.name, "pairing", step), dtype=torch.float64)
        return self.by_class[self.first[labels] + (draws * self.counts[labels]).long()]


@dataclass(frozen=True)
class Transform:
    """From uint8 pixels to the network's input: normalisation always, random crop and flip in training.

    Attributes:
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        crop_padding: pixels of black around the image before a crop of its own size; 0 for no crop.
        flip: mirror half of the images.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool

    def normalise(self, images: Tensor) -> Tensor:
        """Map uint8 `(B, C, H, W)` to float32 of the same shape, channels last in memory."""
        shape = (1, -1, 1, 1)
        mean, std = (torch.tensor(values, device=images.device).view(shape) for values in (self.mean, self.std))
        return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Crop and flip each image by itself: one gather on flattened pixels.

        Args:
            images: uint8 `(B, C, H, W)` on any device.
            generator: on the CPU, so that every device makes the same batch.
        """
        count, channels, height, width = images.shape
        padding = self.crop_padding
        down, right = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
        flipped = torch.rand(count, 1, generator=generator) < (0.5 if self.flip else 0.0)
        columns = torch.arange(width).expand(count, width)
        columns = torch.where(flipped, width - 1 - columns, columns) + right
        rows = torch.arange(height) + down
        pixels = (rows.unsqueeze(2) * (width + 2 * padding) + columns.unsqueeze(1)).view(count, 1, -1)
        padded = F.pad(images, (padding,) * 4).flatten(2)
        return padded.gather(2, pixels.to(images.device).expand(-1, channels, -1)).view_as(images)


class JointLoader:
    """Training batches: one of each part a step, `{"retain": Batch, "forget": Batch, ...}`, augmented, on the device.

    The first part decides the length of an epoch: as many steps as visit it once. Each batch is a pure function of
    (seed, epoch, step, part); over several devices each takes an equal share of that same batch.

    Args:
        parts: images by name, already on the device.
        batch_sizes: images of each part in a step, over all devices together.
        transform: pixels to inputs.
        seed: of order and augmentation.
        rank: of this device.
        world_size: number of devices.
        pairs: parts whose image at a position is drawn at random among those with the label of another part's image there.

    Raises:
        InputError: a batch size that `world_size` does not divide, a part without a sample, or a part without a sample of
            a class that its partner has.
    """

    def __init__(
        self,
        parts: Mapping[str, Images],
        batch_sizes: Mapping[str, int],
        transform: Transform,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        pairs: Mapping[str, str] = NOTHING,
    ) -> None:
        for name, size in batch_sizes.items():
            if size % world_size:
                raise InputError(f"the {name} batch size must be a multiple of trainer.devices={world_size}, got {size}")
            if len(parts[name]) == 0:
                raise InputError(f"the {name} set must hold at least one sample, it has none")
        self.parts, self.batch_sizes, self.transform, self.seed = parts, batch_sizes, transform, seed
        self.rank, self.world_size, self.epoch = rank, world_size, 0
        self.sampler = self  # Lightning calls set_epoch on it
        self._orders: dict[str, Order | PairedOrder] = {
            name: Order(len(parts[name]), size, seed, name) for name, size in batch_sizes.items()
        }
        self._orders |= {name: PairedOrder(parts, name, other, self._orders[other], seed) for name, other in pairs.items()}
        first, size = next(iter(batch_sizes.items()))
        self._steps = -(-len(parts[first]) // size)

    def __len__(self) -> int:
        """Steps an epoch."""
        return self._steps

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches of an epoch."""
        first = self.epoch * len(self)
        for step in range(first, first + len(self)):
            yield {name: self.batch(name, step) for name in self.batch_sizes}

    def batch(self, name: str, step: int) -> Batch:
        """This device's share of the batch of a part at a step counted over all epochs."""
        part = self.parts[name]
        index = self._orders[name].batch(step).to(part.images.device)
        images = self.transform.augment(part.images[index], generator(self.seed, name, "augmentation", step))
        mine = slice(self.rank, None, self.world_size)
        return Batch(self.transform.normalise(images[mine]), part.targets[index][mine])


class PlainLoader:
    """Evaluation batches: every sample once, in order, not augmented."""

    def __init__(self, part: Images, transform: Transform) -> None:
        self.part, self.transform = part, transform

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.part) // EVALUATION_BATCH_SIZE)

    def __iter__(self) -> Iterator[Batch]:
        """The batches, the last one as small as the rest is."""
        pairs = zip(self.part.images.split(EVALUATION_BATCH_SIZE), self.part.targets.split(EVALUATION_BATCH_SIZE), strict=True)
        for images, targets in pairs:
            yield Batch(self.transform.normalise(images), targets)


class PassLoader:
    """One pass over parts, one after another: every sample once, in random order, not augmented; `{"retain": Batch}` a step.

    Args:
        parts: images by name, already on the device.
        batch_sizes: images a step of each part.
        transform: pixels to inputs.
        seed: of the order.
        limits: the most samples that are visited of each part named, the first of its order.
    """

    def __init__(
        self,
        parts: Mapping[str, Images],
        batch_sizes: Mapping[str, int],
        transform: Transform,
        seed: int,
        limits: Mapping[str, int] = NOTHING,
    ) -> None:
        self.parts, self.batch_sizes, self.transform, self.seed, self.limits = parts, batch_sizes, transform, seed, limits

    def __len__(self) -> int:
        """Number of steps."""
        counts = {name: min(len(part), self.limits.get(name, len(part))) for name, part in self.parts.items()}
        return sum(-(-counts[name] // size) for name, size in self.batch_sizes.items())

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches, the last one of a part as small as the rest is."""
        for name, size in self.batch_sizes.items():
            part = self.parts[name]
            order = torch.randperm(len(part), generator=generator(self.seed, name, "order", 0))
            for index in order[: self.limits.get(name)].to(part.images.device).split(size):
                yield {name: Batch(self.transform.normalise(part.images[index]), part.targets[index])}


class UnlearningDataModule(L.LightningDataModule):
    """The parts of a split on the trainer's device, as batches for `fit` and one plain loader a part for `test`.

    Args:
        split: the parts.
        transform: pixels to inputs.
        batch_sizes: of the parts that the training wants; the first decides the length of an epoch.
        seed: of order and augmentation.
        evaluate: names of the parts to test, in that order.
        one_pass: train on a `PassLoader` in place of a `JointLoader`.
        limits: of the `PassLoader`.
        pairs: see `JointLoader`.
    """

    def __init__(
        self,
        split: Split,
        transform: Transform,
        batch_sizes: Mapping[str, int],
        seed: int,
        evaluate: tuple[str, ...] = (),
        one_pass: bool = False,
        limits: Mapping[str, int] = NOTHING,
        pairs: Mapping[str, str] = NOTHING,
    ) -> None:
        super().__init__()
        self.one_pass, self.limits, self.pairs = one_pass, limits, pairs
        self.split, self.transform, self.batch_sizes, self.seed, self.evaluate = split, transform, batch_sizes, seed, evaluate

    def part(self, name: str) -> Images:
        """A part of the split on the trainer's device."""
        images: Images = getattr(self.split, name)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return Images(images.images.to(device), images.targets.to(device), images.class_names, images.ids)

    def train_dataloader(self) -> JointLoader | PassLoader:
        """The loader of the method's kind."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        parts = {name: self.part(name) for name in self.batch_sizes}
        if self.one_pass:
            return PassLoader(parts, self.batch_sizes, self.transform, self.seed, self.limits)
        return JointLoader(parts, self.batch_sizes, self.transform, self.seed, rank, world_size, self.pairs)

    def test_dataloader(self) -> list[PlainLoader]:
        """One loader a part, in the order of `evaluate`."""
        return [PlainLoader(self.part(name), self.transform) for name in self.evaluate]

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """Nothing to move: the images are on the device."""
        return batch

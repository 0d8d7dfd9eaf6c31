"""Batches on the device: joint ones for training, one pass for one-shot methods, plain ones for evaluation."""

from collections.abc import Iterator, Mapping
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.data.order import Order, PairedOrder
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images

EVALUATION_BATCH_SIZE = 1000
CACHED = 2**19  # the most pixel values in a batch on a CPU: with larger ones, ResNet-9 takes up to twice as long for an image
NO_PART: Mapping[str, Any] = MappingProxyType({})


class Batch(NamedTuple):
    """Normalised images, float `(B, C, H, W)`, and their targets, int64 `(B,)`."""

    images: Tensor
    targets: Tensor


class _Resumable:
    """A loader that knows its position in an epoch, so that a training resumed from a checkpoint can start in the middle."""

    position = start = 0

    def state_dict(self) -> dict[str, int]:
        """The position of the last batch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration start at that position."""
        self.start = state["position"]

    def positions(self, count: int) -> Iterator[int]:
        """Iterate over the remaining positions of an epoch, and record the current one."""
        first, self.start = self.start, 0
        for self.position in range(first, count):
            yield self.position


class JointLoader(_Resumable):
    """Augmented training batches, one of each part in a step, `{"retain": Batch, "forget": Batch, ...}`, on the device.

    An epoch ends when every sample of the first part has come once. Each batch is a function of (seed, epoch, step, part);
    with several devices, each takes an equal share of that batch.

    Args:
        parts: images by the part's name, on the device.
        batch_sizes: number of images of each part in a step, over all devices.
        transform: turns pixels into inputs.
        seed: the seed for order and augmentation.
        rank: the number of this device.
        world_size: number of devices.
        pairs: `{part: other}`: each image of `part` is drawn from the class of the image of `other` at the same position.

    Raises:
        InputError: `world_size` does not divide a batch size, a part is empty, or a part lacks a class of its pair.
    """

    def __init__(
        self,
        parts: Mapping[str, Images],
        batch_sizes: Mapping[str, int],
        transform: Transform,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        pairs: Mapping[str, str] = NO_PART,
    ) -> None:
        for name, size in batch_sizes.items():
            if size % world_size:
                raise InputError(f"the {name} batch size must be a multiple of trainer.devices={world_size}, got {size}")
            if len(parts[name]) == 0:
                raise InputError(f"the {name} set must hold at least one sample, it has none")
        self.parts, self.batch_sizes, self.transform, self.seed = parts, batch_sizes, transform, seed
        self.world_size, self.epoch = world_size, 0
        self._share = slice(rank, None, world_size)
        self.sampler = self  # Lightning calls set_epoch on it
        orders = {name: self._order(name) for name in batch_sizes}
        paired = {name: PairedOrder(parts, name, other, orders[other], seed) for name, other in pairs.items()}
        self._orders: Mapping[str, Order | PairedOrder] = {**orders, **paired}
        first, size = next(iter(batch_sizes.items()))
        self._steps = -(-len(parts[first]) // size)

    def _order(self, name: str) -> Order:
        return Order(len(self.parts[name]), self.batch_sizes[name], self.seed, name)

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self._steps

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches of an epoch."""
        for _ in self.positions(len(self)):
            yield {name: self.batch(name, self.number(name)) for name in self.batch_sizes}

    def number(self, name: str) -> int:
        """The number of the part's current batch, counted over all epochs."""
        return self.epoch * len(self) + self.position

    def batch(self, name: str, number: int) -> Batch:
        """This device's share of a part's batch of a number."""
        batch = self._augmented(name, number, "augmentation", self.transform)
        self.parts[name].read_ahead(self._orders[name].batch(number + 1)[self._share])
        return batch

    def second_view(self, name: str, crop_padding: int | None, flip: bool | None) -> Batch:
        """This device's share of a part's current batch, augmented once more; for the settings see `Transform.second_view`."""
        transform = self.transform.second_view(min(self.parts[name].shape[2:]), crop_padding, flip)
        return self._augmented(name, self.number(name), "second view", transform)

    def _augmented(self, name: str, number: int, view: str, transform: Transform) -> Batch:
        part, order = self.parts[name], self._orders[name].batch(number)
        index, draws = order[self._share].to(part.device, non_blocking=True), generator(self.seed, name, view, number)
        images = transform.augment(part.at(index), draws, self._share, len(order))
        return Batch(transform.normalise(images), part.targets[index])


class PassLoader(_Resumable):
    """One pass over the parts, one after another: every sample once, in random order, not augmented.

    Each step gives the batch of one part, such as `{"retain": Batch}`.

    Args:
        parts: images by the part's name, on the device.
        batch_sizes: number of images of each part in a step.
        transform: turns pixels into inputs.
        seed: the seed for the order.
        limits: by part, the most samples to visit; a part without a limit is visited completely.
        world_size: number of devices.

    Raises:
        InputError: there are several devices; one-shot methods sum over samples, and nothing adds up such sums over devices.
    """

    def __init__(
        self,
        parts: Mapping[str, Images],
        batch_sizes: Mapping[str, int],
        transform: Transform,
        seed: int,
        limits: Mapping[str, int] = NO_PART,
        world_size: int = 1,
    ) -> None:
        if world_size > 1:
            raise InputError(f"a method of one pass over the images needs trainer.devices=1, got {world_size}")
        self.parts, self.transform = parts, transform
        self.batches: list[tuple[str, Tensor]] = []  # part and indices
        for name, size in batch_sizes.items():
            order = torch.randperm(len(parts[name]), generator=generator(seed, name, "order", 0))[: limits.get(name)]
            self.batches += [(name, index) for index in order.to(parts[name].device).split(size)]

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches; the last one of a part may be smaller."""
        for position in self.positions(len(self)):
            name, index = self.batches[position]
            part = self.parts[name]
            yield {name: Batch(self.transform.normalise(part.at(index)), part.targets[index])}


class PlainLoader:
    """Evaluation batches: every sample once, in order, not augmented. On a CPU, batches are small enough for its caches."""

    def __init__(self, part: Images, transform: Transform) -> None:
        self.part, self.transform, self.batch_size = part, transform, EVALUATION_BATCH_SIZE
        if part.device.type == "cpu":
            self.batch_size = min(self.batch_size, max(32, CACHED // prod(part.shape[1:])))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.part) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches; the last one may be smaller."""
        pairs = zip(self.part.blocks(self.batch_size), self.part.targets.split(self.batch_size), strict=True)
        for images, targets in pairs:
            yield Batch(self.transform.normalise(images), targets)

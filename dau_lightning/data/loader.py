"""Batches on the device: joint ones of training, a single pass for one-shot methods, plain ones of evaluation."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images

EVALUATION_BATCH_SIZE = 1000
CACHED = 2**19  # numbers of a batch of images on a CPU: with more, ResNet-9 takes up to twice as long an image
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
        orders = [*self._cached.values()]
        indices = torch.cat(orders) if len(orders) > 1 else orders[0]  # a batch seldom needs two: to copy them costs more
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


class _Resumable:
    """Batches by their position in an epoch, for Lightning's checkpoints: the next iteration may start in the middle."""

    position = start = 0

    def state_dict(self) -> dict[str, int]:
        """The position of the batch given last."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start there."""
        self.start = state["position"]

    def positions(self, count: int) -> Iterator[int]:
        """The positions of an epoch, kept as they pass."""
        first, self.start = self.start, 0
        for self.position in range(first, count):
            yield self.position


class JointLoader(_Resumable):
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
        for position in self.positions(len(self)):
            yield {name: self.batch(name, self.epoch * len(self) + position) for name in self.batch_sizes}

    def batch(self, name: str, step: int) -> Batch:
        """This device's share of the batch of a part at a step counted over all epochs."""
        part = self.parts[name]
        index = self._orders[name].batch(step).to(part.images.device, non_blocking=True)
        images = self.transform.augment(part.images[index], generator(self.seed, name, "augmentation", step))
        mine = slice(self.rank, None, self.world_size)
        return Batch(self.transform.normalise(images[mine]), part.targets[index][mine])


class PlainLoader:
    """Evaluation batches: every sample once, in order, not augmented; on a CPU as large as its caches like them."""

    def __init__(self, part: Images, transform: Transform) -> None:
        self.part, self.transform, self.batch_size = part, transform, EVALUATION_BATCH_SIZE
        if part.images.device.type == "cpu":
            self.batch_size = min(self.batch_size, max(32, CACHED // part.images[0].numel()))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.part) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches, the last one as small as the rest is."""
        pairs = zip(self.part.images.split(self.batch_size), self.part.targets.split(self.batch_size), strict=True)
        for images, targets in pairs:
            yield Batch(self.transform.normalise(images), targets)


class PassLoader(_Resumable):
    """One pass over parts, one after another: every sample once, in random order, not augmented; `{"retain": Batch}` a step.

    Args:
        parts: images by name, already on the device.
        batch_sizes: images a step of each part.
        transform: pixels to inputs.
        seed: of the order.
        limits: the most samples that are visited of each part named, the first of its order.
        world_size: number of devices.

    Raises:
        InputError: there are several, and a sum over all samples would be needed on each.
    """

    def __init__(
        self,
        parts: Mapping[str, Images],
        batch_sizes: Mapping[str, int],
        transform: Transform,
        seed: int,
        limits: Mapping[str, int] = NOTHING,
        world_size: int = 1,
    ) -> None:
        if world_size > 1:
            raise InputError(f"a method of one pass over the images needs trainer.devices=1, got {world_size}")
        self.parts, self.batch_sizes, self.transform, self.seed, self.limits = parts, batch_sizes, transform, seed, limits

    def __len__(self) -> int:
        """Number of steps."""
        counts = {name: min(len(part), self.limits.get(name, len(part))) for name, part in self.parts.items()}
        return sum(-(-counts[name] // size) for name, size in self.batch_sizes.items())

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches, the last one of a part as small as the rest is."""
        batches: list[tuple[str, Tensor]] = []
        for name, size in self.batch_sizes.items():
            part = self.parts[name]
            order = torch.randperm(len(part), generator=generator(self.seed, name, "order", 0))
            batches += [(name, index) for index in order[: self.limits.get(name)].to(part.images.device).split(size)]
        for position in self.positions(len(batches)):
            name, index = batches[position]
            part = self.parts[name]
            yield {name: Batch(self.transform.normalise(part.images[index]), part.targets[index])}

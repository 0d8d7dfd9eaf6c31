"""The order of a part's samples in training batches: the indices of a batch are a function of seed, part and step."""

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.images import Images


class Order:
    """An endless stream of sample indices: one random permutation of the part after another.

    Every batch is full; a batch that is larger than the part takes its indices from several permutations.

    Args:
        size: number of samples in the part.
        batch_size: number of indices in a batch.
        seed: the seed of the permutations.
        name: the name of the part; each part has its own permutations.
    """

    def __init__(self, size: int, batch_size: int, seed: int, name: str) -> None:
        self.size, self.batch_size, self.seed, self.name = size, batch_size, seed, name
        self._permutation = lru_cache(maxsize=2)(self._permutation)  # consecutive batches mostly share one

    def batch(self, step: int) -> Tensor:
        """The indices of the batch of a step, int64 `(batch_size,)`."""
        first, last = step * self.batch_size, (step + 1) * self.batch_size - 1
        orders = [self._permutation(number) for number in range(first // self.size, last // self.size + 1)]
        indices = torch.cat(orders) if len(orders) > 1 else orders[0]  # few batches need two; cat would copy
        return indices[first % self.size :][: self.batch_size]

    def _permutation(self, number: int) -> Tensor:
        return torch.randperm(self.size, generator=generator(self.seed, self.name, "order", number))


class PassOrder(Order):
    """Passes over the part, each in a new random order. A pass shows every image once, in as few batches as it takes.

    The batches of a pass are of nearly the same size: a small rest would have poor batch-norm statistics.

    Args:
        size: number of samples in the part.
        batch_size: the largest number of indices in a batch.
        seed: the seed of the permutations.
        name: the name of the part.
        devices: number of devices, which share every batch equally: up to `devices - 1` images of a pass come twice.
    """

    def __init__(self, size: int, batch_size: int, seed: int, name: str, devices: int) -> None:
        super().__init__(size, batch_size, seed, name)
        self.devices, self.steps = devices, -(-size // batch_size)  # batches in a pass

    def batch(self, step: int) -> Tensor:
        """The indices of the batch of a step, int64 `(B,)`; steps count over all passes."""
        number, place = divmod(step, self.steps)
        share = -(-self.size // self.devices)  # of a pass, for each device
        first, last = (self.devices * (share * border // self.steps) for border in (place, place + 1))
        return self._permutation(number)[torch.arange(first, last) % self.size]


class PairedOrder:
    """Sample indices of a part, each drawn at random from the class that another part's batch has at the same position.

    A batch is a function of (seed, part, step) and of the other part's batch.

    Args:
        parts: images by the part's name.
        name: the name of the part.
        other: the name of the other part.
        order: the order of the other part.
        seed: the seed of the draws.

    Raises:
        InputError: the other part has a class of which this part has no sample.
    """

    def __init__(self, parts: Mapping[str, Images], name: str, other: str, order: Order, seed: int) -> None:
        self.order, self.targets, self.seed, self.name = order, parts[other].targets.cpu(), seed, name
        classes, targets = parts[name].class_names, parts[name].targets.cpu()
        self.counts = targets.bincount(minlength=len(classes))
        if missing := [classes[target] for target in self.targets.unique().tolist() if self.counts[target] == 0]:
            raise InputError(
                f"baseline.pairing=class needs a {name} image of every class in the {other} set, there is none of "
                f"{', '.join(missing)}"
            )
        self.by_class = targets.argsort(stable=True)
        self.first = self.counts.cumsum(0) - self.counts

    def batch(self, step: int) -> Tensor:
        """The indices of the batch of a step, int64 `(batch_size,)`."""
        targets = self.targets[self.order.batch(step)]
        draws = torch.rand(len(targets), generator=generator(self.seed, self.name, "pairing", step), dtype=torch.float64)
        return self.by_class[self.first[targets] + (draws * self.counts[targets]).long()]

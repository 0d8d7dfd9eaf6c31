"""Training batches of one part after another, for methods that alternate between passes over the forget and the retain set."""

from collections.abc import Iterator
from typing import Any

from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.order import PassOrder


class AlternatingLoader(JointLoader):
    """Augmented training batches of one part in a step, `{"forget": Batch}` or `{"retain": Batch}`, on the device.

    An epoch is a pass over the first part, then one over the second, and so on, see `PassOrder`: the batches of a pass are of
    nearly the same size, at most the part's batch size. The arguments are those of `JointLoader`.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passes = {name: self._order(name).steps for name in self.batch_sizes}  # steps of each
        self.turns = [(name, number) for name, steps in self.passes.items() for number in range(steps)]

    def _order(self, name: str) -> PassOrder:
        return PassOrder(len(self.parts[name]), self.batch_sizes[name], self.seed, name, self.world_size)

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self.turns)

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        """The batches of an epoch."""
        for position in self.positions(len(self)):
            name, _ = self.turns[position]
            yield {name: self.batch(name, self.number(name))}

    def number(self, name: str) -> int:
        """The number of the part's current batch, counted over all epochs."""
        return self.epoch * self.passes[name] + self.turns[self.position][1]

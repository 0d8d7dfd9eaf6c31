"""Training batches of one part after another, for methods that alternate between passes over the forget and the retain set."""

from collections.abc import Iterator
from typing import Any

from dau_lightning.data.loader import Batch, JointLoader


class AlternatingLoader(JointLoader):
    """Augmented training batches of one part in a step, `{"forget": Batch}` or `{"retain": Batch}`, on the device.

    An epoch visits every sample of the first part, then every sample of the second, and so on; every batch is full. The
    arguments are those of `JointLoader`.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passes = {name: -(-len(self.parts[name]) // size) for name, size in self.batch_sizes.items()}  # steps of each
        self.turns = [(name, number) for name, steps in self.passes.items() for number in range(steps)]

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

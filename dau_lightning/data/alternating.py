"""Training batches of one part after another, for methods that alternate between passes over the forget and the retain set."""

from collections.abc import Iterator, Mapping
from typing import Any

from dau_lightning.data.loader import NO_PART, Batch, JointLoader
from dau_lightning.data.order import PassOrder


class AlternatingLoader(JointLoader):
    """Augmented training batches of one part in a step, `{"forget": Batch}` or `{"retain": Batch}`, on the device.

    An epoch is a pass over the first part, then one over the second, and so on, see `PassOrder`: the batches of a pass are of
    nearly the same size, at most the part's batch size.

    Args:
        arguments: the first ones of `JointLoader`.
        pass_epochs: for each part, the first epochs, which alone have a pass over it; its steps in later epochs are `{}`, so
            that all epochs have as many. Parts that are not named have a pass in every epoch.
    """

    def __init__(self, *arguments: Any, pass_epochs: Mapping[str, int] = NO_PART) -> None:
        super().__init__(*arguments)
        self.pass_epochs = pass_epochs
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
            over = self.epoch >= self.pass_epochs.get(name, self.epoch + 1)
            yield {} if over else {name: self.batch(name, self.number(name))}

    def number(self, name: str) -> int:
        """The number of the part's current batch, counted over all epochs."""
        return self.epoch * self.passes[name] + self.turns[self.position][1]

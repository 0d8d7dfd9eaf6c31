"""CF-k (Goel et al. 2022): train the last k layers on the retain set, so that they forget the rest."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dau_lightning.data.loader import Batch
from dau_lightning.training.last_layers import LastLayers
from dau_lightning.training.sgd import SGDMethod


class CFk(SGDMethod):
    """SGD on the retain set that moves the last k layers; the others are frozen, their batch-norm statistics included.

    Args:
        last_layers: k, see `LastLayers`.
        settings: see `SGDMethod`; `batch_norm` is the mode of the last k layers.

    Raises:
        InputError: the network has fewer than k layers.
    """

    label = "CF-k"

    def __init__(self, *, last_layers: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.last = LastLayers(self.defender.network, last_layers)

    @contextmanager
    def modes(self, batch: Mapping[str, Batch]) -> Iterator[None]:
        """See `SGDMethod.modes`; the frozen layers keep their statistics."""
        with super().modes(batch), self.last.frozen_statistics():
            yield

"""EU-k (Goel et al. 2022): train the last k layers from new weights on the retain set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dau_lightning.data.loader import Batch
from dau_lightning.training.last_layers import LastLayers
from dau_lightning.training.layer import check_new_weights, new_network
from dau_lightning.training.sgd import SGDMethod


class EUk(SGDMethod):
    """SGD on the retain set from new weights of the last k layers; the others are frozen, their batch-norm statistics too.

    The last k layers, batch-norm and its statistics included, are those of a new network, see `layer.new_network`.

    Args:
        last_layers: k, see `LastLayers`.
        settings: see `SGDMethod`; `batch_norm` is the mode of the last k layers.

    Raises:
        InputError: the network has fewer than k layers, or one of them cannot draw new weights.
    """

    label = "EU-k"

    def __init__(self, *, last_layers: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.last = LastLayers(self.defender.network, last_layers)
        check_new_weights(self.defender, self.last.trained.values(), self.label)

    def begin(self) -> None:
        """Draw the new weights."""
        new = new_network(self.defender, self.seed, self.phase, "last layers")
        for name, layer in self.last.trained.items():
            layer.load_state_dict(new.get_submodule(name).state_dict())
        self.defender.prune()

    @contextmanager
    def modes(self, batch: Mapping[str, Batch]) -> Iterator[None]:
        """See `SGDMethod.modes`; the frozen layers keep their statistics."""
        with super().modes(batch), self.last.frozen_statistics():
            yield

"""EU-k (Goel et al. 2022): train the last k layers from new weights on the retain set."""

from typing import Any

from dau_lightning.baseline.cf_k import CFk
from dau_lightning.training.layer import check_new_weights, new_network


class EUk(CFk):
    """CF-k from new weights of the last k layers: the others are frozen, their batch-norm statistics too.

    The last k layers, batch-norm and its statistics included, are those of a new network, see `layer.new_network`.

    Args:
        settings: see `CFk`.

    Raises:
        InputError: the network has fewer than k layers, or one of them cannot draw new weights.
    """

    label = "EU-k"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        check_new_weights(self.defender, self.last.trained.values(), self.label)

    def begin(self) -> None:
        """Draw the new weights."""
        new = new_network(self.defender, self.seed, self.phase, "last layers")
        for name, layer in self.last.trained.items():
            layer.load_state_dict(new.get_submodule(name).state_dict())
        self.defender.prune()

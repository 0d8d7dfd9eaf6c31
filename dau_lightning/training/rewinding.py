"""Prunes a network in the middle of its training: how a sparse original is rewound to an early epoch (section 4.2)."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import Tensor


class Rewinding(L.Callback):
    """Prunes a training as it comes to a step, and lets it go on with an optimizer that has no memory.

    Args:
        mask: see `Defender.hold`.
        epochs: after as many.
    """

    def __init__(self, mask: Mapping[str, Tensor], epochs: int) -> None:
        self.mask, self.epochs = mask, epochs

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Prune and forget at that step; a training resumed beyond it is pruned, and gets the mask again."""
        first = self.epochs * int(trainer.num_training_batches)
        if pl_module.step >= first and not pl_module.defender.mask:
            pl_module.defender.hold(self.mask)
        if pl_module.step == first:
            trainer.optimizers[0].state.clear()

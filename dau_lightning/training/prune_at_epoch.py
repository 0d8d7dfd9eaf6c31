"""Rewinding (section 4.2): a sparse original is trained densely for its first epochs, then pruned and trained to the end."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import Tensor


class PruneAtEpoch(L.Callback):
    """Prunes the defender after some epochs and clears the optimizer's momentum; the training then continues.

    Args:
        mask: the weights to keep, bool tensors by parameter name, see `Defender.set_mask`.
        epochs: number of dense epochs before the pruning.
    """

    def __init__(self, mask: Mapping[str, Tensor], epochs: int) -> None:
        self.mask, self.epochs = mask, epochs

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Prune at the first step after the dense epochs, or at once in a training that is resumed after that step."""
        first = self.epochs * int(trainer.num_training_batches)
        if pl_module.step >= first and not pl_module.defender.mask:
            pl_module.defender.set_mask(self.mask)
        if pl_module.step == first:
            trainer.optimizers[0].state.clear()

"""The base class of SGD methods that are repeated where they cost too much accuracy on the retained images."""

import math
from collections.abc import Mapping
from typing import Any

from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.training.attempts import Attempts
from dau_lightning.training.sgd import SGDMethod


class RepeatedMethod(SGDMethod):
    """SGD for `epochs` epochs, and again from the same weights at half the rate where `attempts` says so.

    Args:
        attempts: measures an attempt, and decides how to go on.
        min_steps: the epochs are raised to make at least this many steps, for small data.
        settings: see `SGDMethod`.
    """

    def __init__(self, *, attempts: Attempts, min_steps: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.attempts, self.min_steps = attempts, min_steps

    def check(self, split: Split) -> None:
        """See `UnlearningModule.check`; on small data, raise the number of epochs to make `min_steps` steps."""
        super().check(split)
        steps = math.ceil(len(split.retain) / self.batch_sizes["retain"])
        self.epochs = max(self.epochs, math.ceil(self.min_steps / steps))

    @property
    def most_epochs(self) -> int:
        """See `UnlearningModule.most_epochs`."""
        return self.attempts.number * self.epochs

    def on_train_start(self) -> None:
        """See `SGDMethod.on_train_start`; before that, RA is measured, which extra losses may change."""
        if not self.resumed:
            self.attempts.measure_start(self)
        super().on_train_start()

    def recover(self, reason: str) -> bool:
        """See `UnlearningModule.recover`: the attempt is over, and the next one may be better."""
        return self.attempts.diverged(self, reason)

    def on_train_batch_start(self, batch: Mapping[str, Batch], batch_idx: int) -> int | None:
        """Set the learning rate of the step and of the attempt; -1, which ends the epoch, once the attempt has diverged."""
        self.attempts.begin(self)
        super().on_train_batch_start(batch, batch_idx)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] *= self.attempts.rate(self)
        return -1 if self.attempts.over(self) else None

    def on_train_epoch_end(self) -> None:
        """Find out at the end of an attempt whether another one has to follow."""
        if (self.trainer.current_epoch + 1) % self.epochs == 0 and not self.attempts.end(self):
            self.trainer.should_stop = True

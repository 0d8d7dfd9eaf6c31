"""One progress bar over all steps of a training.

Lightning's own bar restarts in every epoch: a training of 40 epochs of 19 steps would show 40 short bars.
"""

from typing import Any

import lightning as L

from dau_lightning.base.console import progress_bar


class TrainingBar(L.Callback):
    """Shows the steps done, the total number of steps, the time elapsed and the time left.

    Args:
        description: the name of the trained model.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar = progress_bar()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Start the bar at the first step, after the module's own preparation; a resumed training starts further on.

        A training that the method repeats adds its steps to the total when it begins again.
        """
        steps, done = int(trainer.num_training_batches) * pl_module.epochs, pl_module.step
        total = (done // steps + 1) * steps
        if not self.bar.live.is_started:
            self.bar.start()
            self.task = self.bar.add_task(self.description)
        self.bar.update(self.task, total=total, completed=done)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance by one step."""
        self.bar.advance(self.task)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the finished bar on the screen."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the bar where the training stopped."""
        self.bar.stop()

"""The base class of every method: a LightningModule around a defender, with keyed randomness, a log and resumable state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning as L
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from dau_lightning.base.randomness import reseed
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.loader import Batch, JointLoader, PassLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from dau_lightning.training.checkpoint import CheckpointWriter
from dau_lightning.training.mode import eager, float32
from dau_lightning.training.teacher import Teacher

LOG_EVERY = 50  # steps; each logged step costs a synchronisation of the device


class UnlearningModule(L.LightningModule):
    """Base class of the methods. By itself it fits one-shot methods: no optimizer, one pass over the parts of the split.

    The defender is the network that the method changes, with its mask of pruned weights (`network.defender`); docs/extend.md
    explains the other words. A one-shot method sums over samples in `training_step` and changes the weights in
    `on_train_epoch_end`. Methods that minimise a loss by SGD derive from `sgd.SGDMethod`.

    Args:
        defender: the model to change, in place.
        seed: the seed for everything random in the training.
        batch_size: number of images of `part` in a step.
    """

    label = "unlearned"  # the name of the method in tables
    phase = "unlearning"  # names the training: prefix of logged values, and a key of the randomness
    part = "retain"
    from_scratch = False  # whether the method trains new weights by the recipe, which the store keeps
    alternating = True  # whether a step has a batch of one part, and the parts take turns
    epochs = 1

    def __init__(self, *, defender: Defender, seed: int, batch_size: int) -> None:
        super().__init__()
        self.automatic_optimization = False  # a step can have no loss or several; Lightning then wants no optimizer either
        self.defender, self.seed, self.batch_size = defender, seed, batch_size
        self.batch_sizes: Mapping[str, int] = {self.part: batch_size}  # by part; an epoch visits the first part once
        self.limits: Mapping[str, int] = {}  # by part, the most samples that a one-shot method visits
        self.findings: dict[str, float | None] = {}  # numbers from the training for the row of results; None: there is none
        self.untimed = 0.0  # seconds of the training that do not count as run time
        self.memory: dict[str, Any] = {}  # tensors and numbers, beside weights and buffers, that a checkpoint must keep
        self.resumed = False  # whether the training goes on from a checkpoint

    def loader(
        self, part: Callable[[str], Images], transform: Transform, seed: int, rank: int = 0, world_size: int = 1
    ) -> JointLoader | PassLoader:
        """Make the training batches; in this class they visit every sample of the parts once.

        Args:
            part: returns the images of a part, on the device, for the part's name.
            transform: turns pixels into inputs.
            seed: the seed for order and augmentation.
            rank: the number of this device.
            world_size: number of devices.
        """
        parts = {name: part(name) for name in self.batch_sizes}
        return PassLoader(parts, self.batch_sizes, transform, seed, self.limits, world_size)

    def plan(self, steps: int, split: Split) -> str:
        """Say in one line what the method will do, for `steps` steps in an epoch."""
        return f"{self.label}: one pass of {steps} steps, and one change of the weights at its end"

    def check(self, split: Split) -> None:
        """Fit settings to a split; raise an `InputError` if the method cannot be used on it. Called before any training."""

    @property
    def data(self) -> UnlearningDataModule:
        """The data module of the running fit."""
        return self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def step(self) -> int:
        """Number of this step over all epochs, from 0. Lightning's own counter would count each optimizer's steps."""
        return self.trainer.current_epoch * int(self.trainer.num_training_batches) + self.trainer.fit_loop.batch_idx

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1); a repeated training begins again at 0."""
        steps = self.epochs * int(self.trainer.num_training_batches)
        return self.step % steps / steps

    @property
    def most_epochs(self) -> int:
        """The epochs of a training that is repeated as often as the method repeats one."""
        return self.epochs

    def configure_optimizers(self) -> Any:
        """Make the optimizers: none."""
        return []

    def on_train_start(self) -> None:
        """Unless the training is resumed, fill the teachers and call `begin`; move the memory to the device."""
        if not self.resumed:
            for teacher in (each for each in self.modules() if isinstance(each, Teacher)):
                teacher.copy_from(self.defender)
            self.begin()
        self.fill_memory()

    def begin(self) -> None:
        """Do the work before the first step, and put what later steps need into `memory`; a resumed training skips it."""

    def recover(self, reason: str) -> bool:
        """Go back to good weights after a training diverged; `reason` says how. False if the method cannot: the run ends."""
        return False

    def dynamics(self) -> dict[str, float]:
        """Return numbers of the method's own for the curves of the dynamics, by name."""
        return {}

    def on_train_batch_start(self, batch: Mapping[str, Batch], batch_idx: int) -> int | None:
        """Key the noise and dropout of the step by (seed, phase, step), so that they are the same on every device."""
        reseed(self.seed, self.phase, self.step, 0)

    def log_values(self, **values: Tensor | float) -> None:
        """Send a step's values to every logger, on every `LOG_EVERY`-th step.

        Lightning's `self.log` costs 0.2 ms a value in every step, whatever `log_every_n_steps` says.
        """
        if self.step % LOG_EVERY == 0:
            log(self.loggers, self.phase, self.step, values)

    def fill_memory(self, **start: Any) -> dict[str, Any]:
        """Move the memory to the device and return it; a value in `start` is used if the memory does not have it yet."""
        self.memory = move_data_to_device({**start, **self.memory}, self.device)
        return self.memory

    def save_checkpoint(self, only_if_due: bool = False) -> None:
        """Write a checkpoint during work that takes place outside of Lightning's steps.

        Args:
            only_if_due: write only if the interval between checkpoints is over.
        """
        for callback in self.trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, CheckpointWriter):
                (callback.save_if_due if only_if_due else callback.save)(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the memory, the findings and the untimed seconds to a checkpoint."""
        checkpoint["module"] = {"memory": self.memory, "findings": self.findings, "untimed": self.untimed}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore memory, findings and untimed seconds from a checkpoint."""
        vars(self).update(checkpoint["module"])
        self.resumed = True

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return the defender's logits, float32 `(B, K)`."""
        with float32(self.device), eager():
            return self.defender(batch.images)[0].float()


def log(loggers: Sequence[Any], phase: str, step: int, values: Mapping[str, Tensor | float]) -> None:
    """Send values to loggers as `phase/name`; reading a tensor's value synchronises the device."""
    metrics = {f"{phase}/{name}": value.item() if isinstance(value, Tensor) else float(value) for name, value in values.items()}
    for logger in loggers:
        logger.log_metrics(metrics, step)

"""What every method is: a LightningModule around a defender, with SGD, a schedule, keyed randomness and a log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dau_lightning.datamodule import Batch, UnlearningDataModule
from dau_lightning.network import Defender
from dau_lightning.randomness import key

LOG_EVERY = 50  # steps; each logged step costs a synchronisation of the device


class UnlearningModule(L.LightningModule):
    """Base of the methods: descent on the cross-entropy of one part of the split. A method changes the part or the step.

    Batch-norm is in training mode: its running statistics drift to those of the part.

    Args:
        defender: the model to change, in place.
        seed: of everything random in the training.
        batch_size: images of the part a step.
        epochs: how often the part is visited.
        lr: highest learning rate.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter.
        schedule: see `rate_factor`.
        milestones: epochs at which `schedule="step"` falls to a tenth.
    """

    label = "unlearned"  # in tables
    phase = "unlearning"  # in logs, and a key of the randomness: methods that share it share their retain batches
    part = "retain"
    from_scratch = False  # trained by the recipe from new weights, and kept in the store

    def __init__(
        self,
        *,
        defender: Defender,
        seed: int,
        batch_size: int,
        epochs: int,
        lr: float,
        momentum: float,
        weight_decay: float,
        schedule: str,
        milestones: Sequence[int],
    ) -> None:
        super().__init__()
        self.defender, self.seed, self.batch_size, self.epochs, self.lr = defender, seed, batch_size, epochs, lr
        self.findings: dict[str, float] = {}  # of the training, for the row
        self.untimed = 0.0  # seconds of findings within the run time
        self.momentum, self.weight_decay, self.schedule, self.milestones = momentum, weight_decay, schedule, milestones

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """Images a step of each part of the split; the first decides the length of an epoch."""
        return {self.part: self.batch_size}

    @property
    def data(self) -> UnlearningDataModule:
        """The data module of the running fit."""
        return self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def step(self) -> int:
        """Steps before this one, over all epochs; Lightning's own counter counts every optimizer's."""
        return self.trainer.current_epoch * int(self.trainer.num_training_batches) + self.trainer.fit_loop.batch_idx

    @property
    def progress(self) -> float:
        """The part of the training that is done, in [0, 1)."""
        return self.step / (self.epochs * int(self.trainer.num_training_batches))

    def sgd(self) -> torch.optim.Optimizer:
        """The defender's optimizer."""
        return torch.optim.SGD(self.defender.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD on the defender."""
        return self.sgd()

    def on_train_batch_start(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """Key the step's noise and dropout to (seed, phase, step, rank), and set its learning rate."""
        torch.manual_seed(key(self.seed, self.phase, self.step, self.global_rank))
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group["lr"] = self.lr * rate_factor(self.schedule, self.progress, [m / self.epochs for m in self.milestones])

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor | None:
        """One step of descent; a method that descends by itself returns a loss to watch, or None."""
        loss = self.cross_entropy(batch[self.part])
        self.record(loss=loss)
        return loss

    def cross_entropy(self, batch: Batch) -> Tensor:
        """`L_D` of a batch, in nats; batch-norm as in training, losses in float32."""
        logits, _ = self.defender(batch.images)
        return F.cross_entropy(logits.float(), batch.targets)

    def record(self, **values: Tensor | float) -> None:
        """Send values of a step to every logger under this phase, on every `LOG_EVERY`-th step."""
        if self.step % LOG_EVERY == 0:
            log(self.loggers, self.phase, self.step, values)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The defender's logits, float32 `(B, K)`."""
        with torch.autocast(self.device.type, enabled=False):
            return self.defender(batch.images)[0].float()


def log(loggers: Sequence[Any], phase: str, step: int, values: Mapping[str, Tensor | float]) -> None:
    """Send values to loggers as `phase/name`; synchronises the device."""
    metrics = {f"{phase}/{name}": value.item() if isinstance(value, Tensor) else float(value) for name, value in values.items()}
    for logger in loggers:
        logger.log_metrics(metrics, step)


def rate_factor(schedule: str, progress: float, milestones: Sequence[float] = ()) -> float:
    """The learning rate as a share of its highest, at a progress in [0, 1).

    `constant`; `linear`, falling to 0; `one_cycle`, rising over the first fifth from a tenth and falling linearly to 0;
    `step`, a tenth at each milestone (a progress too).

    Raises:
        ValueError: another schedule.

    >>> [rate_factor("one_cycle", p) for p in (0, 0.2, 0.6)]
    [0.1, 1.0, 0.5]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - progress
    if schedule == "one_cycle":
        return 0.1 + 4.5 * progress if progress < 0.2 else (1 - progress) / 0.8
    if schedule == "step":
        return 0.1 ** sum(progress >= milestone for milestone in milestones)
    raise ValueError(f"schedule must be constant, linear, one_cycle or step, got {schedule!r}")


def batch_norm(network: nn.Module, mode: str) -> AbstractContextManager[None]:
    """Run a network with its batch-norm layers in a mode, all else unchanged; the former modes return afterwards.

    Args:
        network: whose layers.
        mode: `batch`: statistics of the batch, running ones neither used nor changed; `update`: of the batch, running
            ones changed; `running`: running ones used, unchanged.

    Raises:
        ValueError: another mode.
    """
    if mode not in ("batch", "update", "running"):
        raise ValueError(f"batch_norm must be batch, update or running, got {mode!r}")
    return _batch_norm(network, training=mode != "running", track=mode != "batch")


@contextmanager
def _batch_norm(network: nn.Module, training: bool, track: bool) -> Iterator[None]:
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(layer.training, layer.track_running_stats) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.track_running_stats = training, track
        yield
    finally:
        for layer, (training, track) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats = training, track


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Give a module's parameters no gradient inside; what flows through it to its inputs is unchanged."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode inside, and back afterwards."""
    training = module.training
    try:
        module.eval()
        yield
    finally:
        module.train(training)

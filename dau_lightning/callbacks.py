"""What watches a training or a test without changing it: progress, the clock, the guard against NaN, the evaluation."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch._dynamo.callback import callback_handler
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from dau_lightning.console import progress_bar
from dau_lightning.devices import leads
from dau_lightning.error import TrainingError
from dau_lightning.module import LOG_EVERY
from dau_lightning.network import finite
from dau_lightning.whole import whole


class PhaseBar(L.Callback):
    """One progress bar over all steps of a training."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar = progress_bar()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Start with the first step, after whatever the module does before it; a resumed training is some steps ahead."""
        if not self.bar.live.is_started:
            self.bar.start()
            total, done = int(trainer.num_training_batches) * (trainer.max_epochs or 1), pl_module.step
            self.task = self.bar.add_task(self.description, total=total, completed=done)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        self.bar.advance(self.task)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the finished bar on the screen."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Leave the bar as far as it came."""
        self.bar.stop()


class Clock(L.Callback):
    """Seconds from the first to the last step, attacker pre-training included, the device synchronised at both ends.

    Those of a resumed training are of all its parts; what was done twice counts once. While torch compiles, it stands still.
    """

    seconds = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.device = pl_module.device
        self.start = self.now(self.device) - self.seconds
        callback_handler.register_start_callback(self._pause)
        callback_handler.register_end_callback(self._go_on)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop; callbacks hear of the end before the module does."""
        self.seconds = self.now(self.device) - self.start
        callback_handler.remove_start_callback(self._pause)
        callback_handler.remove_end_callback(self._go_on)

    def _pause(self, _: object) -> None:
        self.paused = self.now(self.device)

    def _go_on(self, _: object) -> None:
        self.start += self.now(self.device) - self.paused

    def state_dict(self) -> dict[str, float]:
        """The seconds until now."""
        return {"seconds": self.now(self.device) - self.start}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Those of a checkpoint."""
        self.seconds = state_dict["seconds"]

    @staticmethod
    def now(device: torch.device) -> float:
        """Seconds since some moment, once the device has done what it was told."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


class Guard(L.Callback):
    """Stops a training whose loss is not finite, and leaves the last weights known to give a finite one.

    Losses are looked at every `LOG_EVERY` steps and at the end, so that the device is not synchronised at every step.

    Args:
        phase: named in the error.
        path: where the weights go, as safetensors.
    """

    def __init__(self, phase: str, path: Path) -> None:
        self.phase, self.path = phase, path
        self.losses: list[tuple[int, Tensor]] = []  # with their steps
        self.good: dict[str, Tensor] = {}
        self.candidate: dict[str, Tensor] = {}

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Copy the weights that the first loss of the coming interval will judge."""
        if pl_module.step % LOG_EVERY == 0 or not self.candidate:
            network: nn.Module = pl_module.defender.network
            self.candidate = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect the loss, if the step has one; look at all of them once an interval is full."""
        step = pl_module.step
        if isinstance(outputs, Mapping) and "loss" in outputs:
            self.losses.append((step, outputs["loss"].detach()))
        if (step + 1) % LOG_EVERY == 0:
            self._look()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the rest, and at what the last step left."""
        self._look()
        if not finite(pl_module):
            self._stop("the weights after the last step are not finite")

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep: a checkpoint is written only after a look at all losses before it."""
        self._look()
        return {}

    def _look(self) -> None:
        if not self.losses:
            return
        are_finite = torch.isfinite(torch.stack([loss for _, loss in self.losses])).tolist()
        if are_finite[0]:
            self.good = self.candidate
        if not all(are_finite):
            step, loss = self.losses[are_finite.index(False)]
            self._stop(f"the loss is {float(loss)} at step {step}")
        self.losses = []

    def _stop(self, reason: str) -> None:
        if self.good and leads():
            with whole(self.path) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in self.good.items()}, temporary)
        left = f"the last good weights are in {self.path}" if self.good else "no weights gave a finite loss"
        raise TrainingError(f"{self.phase}: {reason}; {left}; try a smaller learning rate")


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


class Evaluation(L.Callback):
    """Accuracies and attacks of a model under test: every sample of every part once.

    Args:
        parts: names of the test loaders, in their order.
        num_classes: K.
        attacks: metrics with `update(role, logits, targets)`, by name.
        roles: the role that a part plays in the attacks; other parts play none.
    """

    def __init__(self, parts: Sequence[str], num_classes: int, attacks: Mapping[str, Metric], roles: Mapping[str, str]) -> None:
        self.parts, self.roles, self.attacks = parts, roles, {name: attack.clone() for name, attack in attacks.items()}
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}  # logits and targets of a part that is not whole yet
        self.accuracies = {
            part: MulticlassAccuracy(num_classes, average="micro", validate_args=False, sync_on_compute=False) for part in parts
        }

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Move the metrics to the model's device."""
        for metric in (*self.attacks.values(), *self.accuracies.values()):
            metric.to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Feed a batch of logits to the metrics of its part."""
        part = self.parts[dataloader_idx]
        if not torch.isfinite(outputs).all():
            raise TrainingError(f"{pl_module.label}: its outputs on the {part} set are not finite; try a smaller learning rate")
        self.accuracies[part].update(outputs, batch.targets)
        if part in self.roles:
            loaders: Any = trainer.test_dataloaders
            self._keep(part, outputs, batch.targets, len(loaders[dataloader_idx].part))

    def _keep(self, part: str, logits: Tensor, targets: Tensor, size: int) -> None:
        """Give a part to the attacks once it is whole.

        A tensor kept of every batch would stand between large ones that come and go: 60,000 images left 2 GiB of holes.
        """
        if part not in self.kept:
            self.kept[part] = logits.new_empty((size, *logits.shape[1:])), targets.new_empty(size)
            self.seen = 0
        for room, batch in zip(self.kept[part], (logits, targets), strict=True):
            room[self.seen : self.seen + len(batch)] = batch
        self.seen += len(targets)
        if self.seen == size:
            for attack in self.attacks.values():
                attack.update(self.roles[part], *self.kept[part])
            del self.kept[part]

    def accuracy(self) -> dict[str, float]:
        """Accuracy of each part, in percent."""
        return {part: 100 * float(metric.compute()) for part, metric in self.accuracies.items()}

    def efficacy(self) -> dict[str, float]:
        """MIA-efficacy of each attack, in percent."""
        return {name: float(metric.compute()) for name, metric in self.attacks.items()}

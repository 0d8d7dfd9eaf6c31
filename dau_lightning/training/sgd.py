"""Methods that descend: SGD on the cross-entropy of one part of the split, with a schedule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.devices import keep_alike, together
from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.training.mode import batch_norm
from dau_lightning.training.module import UnlearningModule


class SGDMethod(UnlearningModule):
    """SGDMethod on the cross-entropy of `part`. A method changes the part or the step.

    Args:
        epochs: how often the part is visited.
        lr: highest learning rate.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter.
        schedule: see `rate_factor`.
        milestones: epochs at which `schedule="step"` falls to a tenth.
        batch_norm: see `mode.batch_norm`. `update` is training as usual: running statistics drift to those of the part.
        settings: see `UnlearningModule`.
    """

    def __init__(
        self,
        *,
        epochs: int,
        lr: float,
        momentum: float,
        weight_decay: float,
        schedule: str,
        milestones: Sequence[int],
        batch_norm: str = "update",
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.automatic_optimization = True
        self.epochs, self.lr, self.momentum, self.weight_decay = epochs, lr, momentum, weight_decay
        self.schedule, self.milestones, self.batch_norm = schedule, milestones, batch_norm

    def loader(
        self, part: Callable[[str], Images], transform: Transform, seed: int, rank: int = 0, world_size: int = 1
    ) -> JointLoader:
        """Joint augmented batches of its parts, see `UnlearningModule.loader`."""
        parts = {name: part(name) for name in self.batch_sizes}
        return JointLoader(parts, self.batch_sizes, transform, seed, rank, world_size, self.pairs)

    @property
    def pairs(self) -> Mapping[str, str]:
        """Parts whose images take the labels of another part's, see `JointLoader`."""
        return {}

    def plan(self, steps: int, split: Split) -> str:
        """Epochs and steps, and how often a forget sample is seen."""
        said = f"{self.label}: {self.epochs} epochs of {steps} steps"
        if "forget" not in self.batch_sizes:
            return said
        return f"{said}, each visits every forget sample {steps * self.batch_sizes['forget'] / len(split.forget):.1f} times"

    def sgd(self, *others: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the defender and what is trained with it; pruned weights are zero after each of its steps."""
        parameters = [parameter for module in (self.defender, *others) for parameter in module.parameters()]
        optimizer = torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=self.weight_decay, fused=True)
        optimizer.register_step_post_hook(lambda *_: self.defender.prune())
        return optimizer

    def configure_optimizers(self) -> Any:
        """SGD on the defender."""
        return self.sgd()

    def on_train_batch_start(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """Set the step's learning rate, and key its randomness."""
        super().on_train_batch_start(batch, batch_idx)
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group["lr"] = self.lr * rate_factor(self.schedule, self.progress, [m / self.epochs for m in self.milestones])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let all devices take the same step."""
        defenders = [self.defender] if optimizer is self.trainer.optimizers[0] else []  # others step while its graph is needed
        keep_alike(optimizer, *defenders)

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """One step of descent."""
        with batch_norm(self.defender, self.batch_norm):
            loss = self.cross_entropy(batch[self.part])
        self.record(loss=loss)
        return loss

    def cross_entropy(self, batch: Batch) -> Tensor:
        """`L_D` of a batch, in nats; losses in float32."""
        logits, _ = self.defender(batch.images)
        return F.cross_entropy(together(logits.float()), together(batch.targets))


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

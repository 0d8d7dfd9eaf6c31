"""The base class of methods that train by SGD: cross-entropy on one part of the split, with a learning-rate schedule."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.devices import average_over_devices, gather_shares
from dau_lightning.base.error import require
from dau_lightning.base.randomness import generator
from dau_lightning.data.alternating import AlternatingLoader
from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.draw import drawn_share
from dau_lightning.dataset.images import Images
from dau_lightning.training.extra_loss import ExtraLoss
from dau_lightning.training.mode import batch_norm
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.per_sample_gradient import flattened
from dau_lightning.training.schedule import rate_factor
from dau_lightning.training.weight_mask import restore

NO_EXTRA_LOSSES: Mapping[str, ExtraLoss] = MappingProxyType({})


class SGDMethod(UnlearningModule):
    """SGD on the cross-entropy of `part`. A method derived from it changes the part, the loss or the step.

    Args:
        epochs: passes over the part.
        lr: the highest learning rate of the schedule.
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD, on every parameter.
        schedule: `constant`, `linear`, `cosine`, `one_cycle` or `step`, see `rate_factor`.
        milestones: epochs after each of which `schedule="step"` divides the learning rate by ten.
        batch_norm: see `mode.batch_norm`; `update`, as in ordinary training, moves the running statistics to the part's.
        term: extra losses by name, chosen with `baseline/term=[NAME]`.
        settings: further arguments, see `UnlearningModule`.
    """

    alternating = False  # if true, an epoch is a pass over each part in turn; if false, each step has a batch of every part

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
        term: Mapping[str, ExtraLoss] = NO_EXTRA_LOSSES,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.epochs, self.lr, self.momentum, self.weight_decay = epochs, lr, momentum, weight_decay
        self.schedule, self.milestones, self.batch_norm = schedule, milestones, batch_norm
        self.extra_losses = dict(term)
        self.pairs: Mapping[str, str] = {}  # see `JointLoader`
        self.visits: Mapping[str, int] = {}  # for each part, how often an image comes in a step at most; others fill the batch
        self.shares: Mapping[str, float] = {}  # for each part, the share of images to use; parts not named are used whole
        self.pass_epochs: Mapping[str, int] = {}  # see `AlternatingLoader`

    def loader(
        self, part: Callable[[str], Images], transform: Transform, seed: int, rank: int = 0, world_size: int = 1
    ) -> JointLoader:
        """Make augmented batches of the parts, joint or alternating; for the arguments see `UnlearningModule.loader`."""
        parts = {name: part(name) for name in self.batch_sizes}
        for name, share in self.shares.items():
            parts[name] = drawn_share(parts[name], share, generator(self.seed, self.phase, name, "share"))
        sizes = {name: self.batch_size_of(name, len(images), world_size) for name, images in parts.items()}
        arguments = parts, sizes, transform, seed, rank, world_size
        if self.alternating:
            return AlternatingLoader(*arguments, pass_epochs=self.pass_epochs)
        return JointLoader(*arguments, self.pairs)

    def batch_size_of(self, name: str, images: int, world_size: int = 1) -> int:
        """Return how many images of a part come in a step: less than `batch_sizes` says if `visits` of so few are less."""
        size, most = self.batch_sizes[name], self.visits.get(name, self.batch_sizes[name]) * images
        return size if most >= size else most + -most % world_size  # every device has the same share

    def check(self, split: Split) -> None:
        """See `UnlearningModule.check`."""
        for name, extra in self.extra_losses.items():
            needed = f"baseline/term={name} needs steps with {extra.part} images, {self.label} has none: choose another"
            require(extra.part in self.batch_sizes, needed)

    def on_train_start(self) -> None:
        """Call `begin`, then `begin` of each extra loss; skip both if the training resumes."""
        super().on_train_start()
        for extra in () if self.resumed else self.extra_losses.values():
            extra.begin(self)

    def plan(self, steps: int, split: Split) -> str:
        """Say in one line how many epochs and steps there are, and how often an epoch visits a forget sample."""
        plan = f"{self.label}: {self.epochs} epochs of {steps} steps"
        if "forget" not in self.batch_sizes:
            return plan
        until = f", up to epoch {first}" if (first := self.pass_epochs.get("forget", self.epochs)) < self.epochs else ""
        return f"{plan}; an epoch visits every forget sample {self.forget_visits(steps, split):.1f} times{until}"

    def forget_visits(self, steps: int, split: Split) -> float:
        """Return how often an epoch visits a forget sample."""
        return 1.0 if self.alternating else steps * self.batch_size_of("forget", len(split.forget)) / len(split.forget)

    def sgd(self, *others: nn.Module) -> torch.optim.Optimizer:
        """Make SGD on the defender and other modules."""
        parameters = [parameter for module in (self.defender, *others) for parameter in module.parameters()]
        decay = self.weight_decay
        return self._hold_weights(torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=decay, fused=True))

    def adamw(self) -> torch.optim.Optimizer:
        """Make AdamW on the defender, with `momentum` as beta 1."""
        parameters, betas = self.defender.parameters(), (self.momentum, 0.999)
        return self._hold_weights(torch.optim.AdamW(parameters, self.lr, betas, weight_decay=self.weight_decay, fused=True))

    def _hold_weights(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        optimizer.register_step_post_hook(lambda optimizer, *_: self._after_step(optimizer))
        return optimizer

    def _after_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.defender.prune()
        if "moves" in self.memory:
            restore(self.defender, self.memory["moves"], self.memory["start"], optimizer)

    def hold(self, moves: Tensor) -> None:
        """Let only some weights move, bool `(P,)`: after each step of SGD, the others are restored, momentum included."""
        self.memory |= {"moves": moves, "start": flattened(self.defender)}

    def configure_optimizers(self) -> Any:
        """Make the optimizers: SGD on the defender."""
        return self.sgd()

    def on_train_batch_start(self, batch: Mapping[str, Batch], batch_idx: int) -> int | None:
        """Set the step's learning rate, and key its randomness."""
        super().on_train_batch_start(batch, batch_idx)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.lr * rate_factor(self.schedule, self.progress, [each / self.epochs for each in self.milestones])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Average gradients over the devices, so that all take the same step."""
        # Average the defender's batch-norm statistics only before its own step. Before an attacker's step, the backward pass
        # of the defender is still to come and needs them unchanged.
        defenders = [self.defender] if optimizer is self.trainer.optimizers[0] else []
        average_over_devices(optimizer, *defenders)

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor | None:
        """Take a step down the loss, and return it; without a batch, see `pass_epochs`, there is no step."""
        if not batch:
            return None
        with self.modes(batch):
            extra = self.extra_values(batch)
            loss = self.loss(batch) + sum(extra.values())
        self.descend(0, loss)
        self.log_values(loss=loss, **extra)
        return loss.detach()

    def modes(self, batch: Mapping[str, Batch]) -> AbstractContextManager[None]:
        """Set the modes of the defender's layers for a step.

        Where a pass over a part has a batch of one image, batch-norm uses the running statistics: one image has none.
        """
        single = self.alternating and all(len(part.targets) == 1 for part in batch.values())
        return batch_norm(self.defender, "running" if single else self.batch_norm)

    def extra_values(self, batch: Mapping[str, Batch], forget_logits: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the extra losses of a step, by name; for the arguments see `ExtraLoss.loss`."""
        extras = {name: extra for name, extra in self.extra_losses.items() if extra.part in batch}
        return {name: extra.loss(self, batch, forget_logits) for name, extra in extras.items()}

    def second_view(self, part: str, crop_padding: int | None = None, flip: bool | None = None) -> Batch:
        """Augment the images of a part's batch once more; see `JointLoader.second_view`."""
        loader: JointLoader = self.trainer.train_dataloader  # pyright: ignore[reportAssignmentType]
        return loader.second_view(part, crop_padding, flip)

    def descend(self, number: int, loss: Tensor) -> None:
        """Take a step with optimizer `number` (0: the defender's)."""
        optimizers = self.optimizers()
        optimizer = optimizers[number] if isinstance(optimizers, list) else optimizers
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """Return the cross-entropy on the batch of `part`, a scalar."""
        return self.cross_entropy(batch[self.part])

    def cross_entropy(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of a batch (`L_D`), a scalar in nats, float32."""
        return F.cross_entropy(self.logits(batch.images), gather_shares(batch.targets))

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of the defender for the batch of all devices, of which `images` is a share, float32 `(B, K)`."""
        return gather_shares(self.defender(images)[0].float())

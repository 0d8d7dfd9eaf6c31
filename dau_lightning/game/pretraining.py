"""Pre-trains the attacker before the game, to tell members from nonmembers (section 4.2)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from dau_lightning.base.console import progress
from dau_lightning.base.devices import average_over_devices, rank, world_size
from dau_lightning.base.error import InputError, TrainingError
from dau_lightning.base.randomness import reseed
from dau_lightning.data.loader import JointLoader
from dau_lightning.data.order import Order
from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker_input import AttackerInputs, Query, join
from dau_lightning.game.unseen import fitted_and_unseen
from dau_lightning.training.mode import eager
from dau_lightning.training.module import LOG_EVERY, log
from dau_lightning.training.sgd import SGDMethod

Pair = tuple[AttackerInputs, AttackerInputs]


class Pretraining:
    """Trains the attacker for some steps on stored inputs.

    A batch holds members and nonmembers together: if each had its own batch, batch-norm would hide their difference.

    Args:
        query: computes the attacker's inputs from the defender.
        steps: number of steps.
        batch_size: number of members in a step; there are as many nonmembers.
        refresh: number of steps after which the inputs are computed again, with other augmentation and noise; None for never.
    """

    def __init__(self, query: Query, steps: int, batch_size: int, refresh: int | None) -> None:
        self.query, self.steps, self.batch_size, self.refresh = query, steps, batch_size, refresh

    def check(self, world_size: int) -> None:
        """Raise an `InputError` unless the batch size is a multiple of the number of devices."""
        if self.steps and self.batch_size % world_size:
            size = self.batch_size
            raise InputError(f"the pre-training batch size must be a multiple of trainer.devices={world_size}, got {size}")

    def __call__(self, module: SGDMethod, loss: Callable[[AttackerInputs, AttackerInputs], Tensor]) -> None:
        """Train the attacker; a resumed run starts at the step of the checkpoint.

        Args:
            module: the method; its optimizer 1 is the attacker's.
            loss: computes what the attacker minimises, from its inputs for members and for nonmembers.

        Raises:
            TrainingError: a loss is not finite.
        """
        optimizer = module.trainer.optimizers[1]
        steps = range(module.fill_memory(pretrained=0)["pretrained"], self.steps)
        inputs = self.training_inputs(module, steps.start // self.refresh if self.refresh else 0)
        sizes = zip(("members", "nonmembers"), inputs, strict=True)
        orders = [Order(len(part.targets), self.batch_size, module.seed, name) for name, part in sizes]
        losses: list[Tensor] = []  # checked every LOG_EVERY steps, so that not every step synchronises the device
        for step in progress(steps, "attacker pre-training"):
            self.before_step(module, step)
            if self.refresh and step % self.refresh == 0 and step > steps.start:
                inputs = self.training_inputs(module, step // self.refresh)
            reseed(module.seed, "pretraining", step)
            value = loss(*(_batch(part, order, step) for part, order in zip(inputs, orders, strict=True)))
            optimizer.zero_grad()
            value.backward()
            average_over_devices(optimizer)
            optimizer.step()
            losses.append(value.detach())
            if step % LOG_EVERY == 0 or step == steps[-1]:
                _check_finite(losses, step)
                log(module.loggers, "pretraining", step, {"attacker_loss": value})
                losses = []

    def before_step(self, module: SGDMethod, step: int) -> None:
        """Write a checkpoint before a step if it is due."""
        module.memory["pretrained"] = step
        module.save_checkpoint(only_if_due=True)

    def training_inputs(self, module: SGDMethod, epoch: int) -> Pair:
        """The attacker's inputs for the members that it is trained on, and for `D_v`, the nonmembers."""
        members, _ = fitted_and_unseen(module.data, module.seed)
        return self.inputs(module, {"members": members, "nonmembers": module.data.part("val")}, epoch)

    @torch.no_grad()
    def inputs(self, module: SGDMethod, parts: Mapping[str, Images], epoch: int = 0) -> Pair:
        """The attacker's inputs for two parts, from joint, augmented batches; every sample of the larger part comes once.

        Args:
            module: the method whose defender is queried. Batch-norm's running statistics do not change, since a part may be
                test images.
            parts: two parts by name.
            epoch: a number; every epoch has its own order, augmentation and noise.

        Returns:
            The inputs for the first and for the second part.
        """
        larger_first = dict(sorted(parts.items(), key=lambda part: -len(part[1])))
        sizes, transform = dict.fromkeys(larger_first, self.batch_size), module.data.transform
        loader = JointLoader(larger_first, sizes, transform, module.seed, rank(), world_size())
        loader.set_epoch(epoch)
        mode = "batch" if module.batch_norm == "update" else module.batch_norm
        stored: dict[str, list[AttackerInputs]] = {name: [] for name in parts}
        with module.trainer.precision_plugin.forward_context(), eager():  # Lightning sets the precision in its steps alone
            for step, batch in enumerate(loader, epoch * len(loader)):
                reseed(module.seed, "observation", step)
                larger, smaller = batch.values()
                for name, outputs in zip(batch, self.query(module.defender, larger, smaller, mode), strict=True):
                    stored[name].append(outputs.inputs)
        first, second = (join(*inputs) for inputs in stored.values())
        return first, second


def _batch(part: AttackerInputs, order: Order, step: int) -> AttackerInputs:
    return part.at(order.batch(step).to(part.targets.device, non_blocking=True))


def _check_finite(losses: Sequence[Tensor], last_step: int) -> None:
    """Raise a `TrainingError` that names the first step whose loss is not finite."""
    finite = torch.isfinite(torch.stack([*losses])).tolist()
    if not all(finite):
        first = finite.index(False)
        found = f"attacker pre-training: the loss is {float(losses[first])} at step {last_step - len(losses) + 1 + first}"
        raise TrainingError(f"{found}; the original is unchanged; try a smaller baseline.attacker_lr")

"""Checks a run before any training, for mistakes that show only once data and objects are there."""

from collections.abc import Collection, Mapping

from dau_lightning.base.error import require
from dau_lightning.base.hardware import total_memory
from dau_lightning.data.split import Split
from dau_lightning.game.attacker import Attacker
from dau_lightning.run.plan import Plan
from dau_lightning.storage.store import get
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.training import Training


def check_requirements(
    plan: Plan, training: Training, split: Split, modules: Mapping[str, UnlearningModule], attacks: Collection[str]
) -> None:
    """Check that a run can be trained to its end.

    Args:
        plan: the modes of the run.
        training: trains the run's modules.
        split: the parts of the data.
        modules: the methods of the run, by kind.
        attacks: names of the attacks.

    Raises:
        InputError: the run cannot be trained; the message names the first reason.
    """
    if plan.previous:
        plan.previous.check_data(split.data_hash)
    require("confidence" in attacks, f"metric must include confidence, the attack of the column MIA; got {', '.join(attacks)}")
    _check_sparsity(plan, training)
    for module in modules.values():
        module.check(split)
        _check_batches(training, module, split)
        _check_memory(training, module)
    training.store.check_writable()


def check_reference(plan: Plan, training: Training, split: Split, modules: Mapping[str, UnlearningModule]) -> None:
    """Check that a Retrain of the split is in the store, if the run must not train it.

    Raises:
        InputError: there is none.
    """
    if plan.with_retrain and plan.reference == "cached":
        content = training.content(modules["retrain"], split)
        known = get(training.store.path("retrain", content), content)
        require(
            known is not None,
            f"reference=cached needs a Retrain of this split and recipe in {training.store.root}, and there is none; "
            "use reference=train to train it, or reference=off to go without",
        )


def _check_sparsity(plan: Plan, training: Training) -> None:
    if training.sparsity is None:
        return
    require(
        plan.start is None or plan.previous is not None,
        "original.checkpoint needs sparsity=dense: a sparse original is trained again from its early weights",
    )
    rewind, epochs = training.sparsity.made.rewind_epochs, training.recipe["epochs"]
    require(rewind < epochs, f"sparsity.rewind_epochs must be below recipe.epochs={epochs}, got {rewind}")


def _check_batches(training: Training, module: UnlearningModule, split: Split) -> None:
    """Make the loader of every device, which raises an error if a part is empty or devices cannot share a batch."""
    data = training.data(module, split)
    for rank in range(training.devices):
        module.loader(data.part, training.transform, training.seed, rank, training.devices)
    if isinstance(module, SGDMethod) and next(iter(module.batch_sizes.values())) == training.devices:
        module.defender.try_training_on_one(training.transform.normalise(split.train.first(1)))


def _check_memory(training: Training, module: UnlearningModule) -> None:
    """Refuse an attacker network for which the device is too small: its memory grows with the square of the classes."""
    for attacker in (part for part in module.modules() if isinstance(part, Attacker)):
        samples = sum(module.batch_sizes.get(part, 0) for part in ("forget", "val"))
        need, there = attacker.step_bytes(samples), total_memory(training.device)
        require(
            need < there,
            f"the attacker network needs about {need / 2**30:.0f} GiB for {attacker.num_classes} classes and {samples} images "
            f"a step, and there are {there / 2**30:.0f} GiB; use baseline=dau, which has no attacker network, or give smaller "
            "baseline.forget_batch_size and baseline.val_batch_size",
        )

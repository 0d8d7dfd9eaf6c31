"""Makes and trains the defenders of a run, and keeps the weights trained from scratch in the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from dau_lightning.base.devices import on_rank_zero
from dau_lightning.base.hardware import hardware
from dau_lightning.base.randomness import key, reseed
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.network.defender import Defender
from dau_lightning.storage.seal import tensors_digest
from dau_lightning.storage.store import RECIPE_NUMBER, Store, get_or_train, resume_path
from dau_lightning.training.checkpoint import CheckpointWriter
from dau_lightning.training.clock import Clock
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.progress_bar import TrainingBar
from dau_lightning.training.prune_at_epoch import PruneAtEpoch
from dau_lightning.training.trainer import TrainerSettings, make_trainer

Method = Callable[..., UnlearningModule]
Mask = Mapping[str, Tensor]  # the weights to keep: bool tensors by parameter name
Content = Mapping[str, Any]  # everything that trained weights depend on
Callbacks = Sequence[L.Callback]


class Configured(NamedTuple):
    """An object and the settings that it was made from; the settings are part of a store key."""

    made: Any
    settings: Mapping[str, Any]


@dataclass
class Training:
    """Makes and trains the defenders of a run.

    Attributes:
        network: a function of `num_classes` and `in_channels` that makes a network.
        sparsity: an object that finds the mask of a trained network, see `sparsity.omp`; None for dense networks.
        recipe: the keywords of `SGDMethod` with which original and Retrain are trained.
        transform: turns pixels into inputs.
        trainer_settings: the settings of Lightning's Trainer.
        seed: the seed for everything random.
        store: keeps originals, Retrains and masks.
        folder: the run folder.
        configuration: a hash of all settings that an unlearned model depends on.
        loggers: receive every logged value.
        checkpoint_seconds: time between checkpoints, the most that a killed training loses of its steps.
        compile: the `torch.compile` backend for the defender in training; None for no compilation.
        bar: makes the callback that shows the progress of a training, from the name of what is trained.
        new_network: makes a network with new weights, as `network` does unless it copies a given one; None if nothing can.
    """

    network: Configured
    sparsity: Configured | None
    recipe: Mapping[str, Any]
    transform: Transform
    trainer_settings: TrainerSettings
    seed: int
    store: Store
    folder: Path
    configuration: str
    loggers: list[Logger] = field(default_factory=list)
    checkpoint_seconds: float = 60
    compile: str | None = None
    bar: Callable[[str], L.Callback] = TrainingBar
    new_network: Callable[..., nn.Module] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Shorten the name of the number of devices."""
        self.devices = self.trainer_settings.devices

    def module(self, method: Method, split: Split) -> UnlearningModule:
        """A method with a defender of random weights; a method that trains from scratch also gets the recipe."""
        kind = cast(type[UnlearningModule], getattr(method, "func", method))
        with torch.random.fork_rng(devices=[]):
            reseed(self.seed, "weights", kind.phase)
            classes, channels = len(split.train.class_names), split.train.shape[1]
            shape = {"num_classes": classes, "in_channels": channels}
            network = self.network.made(**shape).to(memory_format=torch.channels_last)
            make_new = partial(self.new_network, **shape) if self.new_network else None
            defender = Defender(network, self.network.settings.get("features"), make_new)
            defender.try_on(self.transform.normalise(split.train.first(2)), classes)
            return method(defender=defender, seed=self.seed, **(self.recipe if kind.from_scratch else {}))

    def content(self, module: UnlearningModule, split: Split, sparse: bool = True) -> dict[str, Any]:
        """Everything that a defender trained from scratch depends on, for the store key."""
        content = {
            "data": split.data_hash if module.part == "train" else split.split_hash,
            "network": self.network.settings,
            "recipe": self.recipe,
            "transform": asdict(self.transform),
            "precision": self.trainer_settings.precision,
            "seed": self.seed,
        }
        if not str(self.network.settings.get("_target_", "dau_lightning.")).startswith("dau_lightning."):
            shapes = {name: list(tensor.shape) for name, tensor in module.defender.network.state_dict().items()}
            content["shapes"] = shapes  # a user may change the code of their class
        if self.devices > 1:
            content["devices"] = self.devices  # each device has its own batch statistics
        if self.sparsity and sparse:
            content["sparsity"] = self.sparsity.settings if module.part == "train" else _pruning(self.sparsity)
        return content

    def mask(self, split: Split, original_method: Method) -> Mask:
        """The weights to keep, found on the trained dense original or taken from the store; empty for dense networks."""
        if self.sparsity is None:
            return {}
        find, original = self.sparsity.made, self.module(original_method, split)

        def find_mask() -> tuple[dict[str, Tensor], float, dict[str, float]]:
            print("dense original, whose smallest weights are pruned:")
            self.from_scratch(original, split, {})
            return dict(find(original.defender.network)), 0.0, {}

        content = self.content(original, split, sparse=False) | {"sparsity": _pruning(self.sparsity)}
        entry, _ = on_rank_zero(partial(get_or_train, self.store.path("mask", content), content), find_mask)
        return entry.weights

    def from_scratch(self, module: UnlearningModule, split: Split, mask: Mask) -> dict[str, Any]:
        """Load weights from the store, after training them if they are missing; return seconds and findings.

        A sparse original trains densely for `rewind_epochs`. Retrain has the mask, found on `D`, from its first step.
        """
        pruning = []
        if mask and self.sparsity and module.part == "train":  # its first steps are those of the dense original
            pruning = [PruneAtEpoch(mask, self.sparsity.made.rewind_epochs)]
        else:
            module.defender.set_mask(mask)
        content = self.content(module, split, sparse=bool(mask))
        path = self.store.path(module.phase, content)
        return self._trained(module, split, path, content, mask, pruning) | {"store": str(path)}

    def unlearned(self, module: UnlearningModule, split: Split, mask: Mask, watchers: Callbacks = ()) -> dict[str, Any]:
        """Unlearn: train a method whose defender holds the original, write the weights; return seconds and findings."""
        module.defender.set_mask(mask)
        content = {"configuration": self.configuration, "data_hash": split.data_hash, "split_hash": split.split_hash}
        content |= {"recipe_number": RECIPE_NUMBER, "original": tensors_digest(module.defender.network.state_dict())}
        return self._trained(module, split, self.folder / "unlearned.safetensors", content, mask, watchers)

    def _trained(
        self, module: UnlearningModule, split: Split, path: Path, content: Content, mask: Mask, callbacks: Callbacks = ()
    ) -> dict[str, Any]:
        """Load the weights in a file; if it is missing, train them first, from the last checkpoint if there is one."""

        def train() -> tuple[dict[str, Tensor], float, dict[str, Any]]:
            seconds = self.fit(module, split, resume_path(path), content, callbacks)
            about = hardware(self.device)
            measured_on = f"{self.devices} x {about['name']}, {about['threads']} threads"
            return module.defender.network.state_dict(), seconds, {**module.findings, "measured_on": measured_on}

        entry, trained = on_rank_zero(partial(get_or_train, path, content), train)
        module.defender.network.load_state_dict(entry.weights)
        module.defender.set_mask(mask)
        print(f"{module.label}: {'trained into' if trained else 'taken from'} {entry.path}")
        return {"seconds": entry.seconds, **entry.findings}

    def data(self, module: UnlearningModule, split: Split) -> UnlearningDataModule:
        """The data module with the batches that a module is trained on."""
        return UnlearningDataModule(split, self.transform, key(self.seed, module.phase), module.loader)

    def fit(self, module: UnlearningModule, split: Split, path: Path, content: Content, callbacks: Callbacks = ()) -> float:
        """Train a module, resuming from the checkpoint at `path` if its content is the same; return the seconds in all.

        Raises:
            RuntimeError: the method moved a pruned weight away from zero.
        """
        if self.compile:  # not the attacker: it is small, and a penalty on its slope needs second derivatives
            module.defender.compile(backend=self.compile)
        clock, guard = Clock(bool(self.compile)), Guard(module.label, self.folder / "last_good.safetensors")
        kept = CheckpointWriter(path, {**content, "file": path.name}, self.checkpoint_seconds)
        watching = [clock, guard, self.bar(module.label), kept, *callbacks]
        trainer = self.trainer(watching, self.devices, max_epochs=module.most_epochs, plugins=[kept.io])
        trainer.fit(module, datamodule=self.data(module, split), ckpt_path=kept.usable_path())
        if not module.defender.holds_mask():
            raise RuntimeError(f"{module.label} changed pruned weights: call defender.prune() after every change")
        return clock.seconds - module.untimed

    def trainer(self, callbacks: Sequence[L.Callback], devices: int = 1, **more: Any) -> L.Trainer:
        """A Trainer, see `make_trainer`; evaluation uses one device."""
        trainer = make_trainer(self.trainer_settings, callbacks, self.loggers, devices, **more)
        self.device = trainer.strategy.root_device  # modules are back on the CPU once a fit or test is over
        return trainer


def _pruning(sparsity: Configured) -> dict[str, Any]:
    """The settings that a mask depends on. `rewind_epochs` is none: it changes the sparse original alone."""
    return {name: value for name, value in sparsity.settings.items() if name != "rewind_epochs"}

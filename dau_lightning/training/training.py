"""From a split to trained defenders: modules, their training, and the weights that the store keeps of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from dau_lightning.base.devices import hardware, on_rank_zero
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
from dau_lightning.training.rewinding import Rewinding
from dau_lightning.training.trainer import TrainerSettings, make_trainer

Method = Callable[..., UnlearningModule]
Mask = Mapping[str, Tensor]  # which weights stay, bool, by the parameter's name
Content = Mapping[str, Any]  # all that weights depend on
Callbacks = Sequence[L.Callback]


class Configured(NamedTuple):
    """An object, and the settings that it was made from, by which the store knows it."""

    made: Any
    settings: Mapping[str, Any]


@dataclass
class Training:
    """Makes and trains the defenders of a run.

    Attributes:
        network: a function of `num_classes` and `in_channels` that makes a network.
        sparsity: an object that finds the mask of a trained network, see `sparsity.omp`; None for dense networks.
        recipe: the keywords of `SGDMethod` by which original and Retrain are trained.
        transform: pixels to inputs.
        trainer_settings: of Lightning's Trainer.
        seed: of everything random.
        store: keeps originals, Retrains and masks.
        folder: the run folder.
        configuration: a hash of all settings that an unlearned model depends on.
        loggers: get every metric.
        checkpoint_seconds: of work that a killed training may lose.
        compile: a backend of `torch.compile` for the defender in training; None to not compile.
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
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Read what is used often."""
        self.devices = self.trainer_settings.devices

    def module(self, method: Method, split: Split) -> UnlearningModule:
        """A method around a network with new weights; a method that trains from scratch takes the recipe."""
        kind = cast(type[UnlearningModule], getattr(method, "func", method))
        with torch.random.fork_rng(devices=[]):
            reseed(self.seed, "weights", kind.phase)
            classes, channels = len(split.train.class_names), split.train.images.shape[1]
            network = self.network.made(num_classes=classes, in_channels=channels).to(memory_format=torch.channels_last)
            defender = Defender(network, self.network.settings.get("features"))
            defender.try_on(self.transform.normalise(split.train.images[:2]), classes)
            return method(defender=defender, seed=self.seed, **(self.recipe if kind.from_scratch else {}))

    def content(self, module: UnlearningModule, split: Split, sparse: bool = True) -> dict[str, Any]:
        """All that a defender trained from scratch depends on."""
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
            content["shapes"] = shapes  # code of somebody's own may change under its name
        if self.devices > 1:
            content["devices"] = self.devices  # each device has batch statistics of its own
        if self.sparsity and sparse:
            content["sparsity"] = self.sparsity.settings if module.part == "train" else _pruning(self.sparsity)
        return content

    def mask(self, split: Split, original_method: Method) -> Mask:
        """Which weights stay, by name: found once on the trained dense original; empty where no weight is pruned."""
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
        """Take weights from the store, where they are trained first if they are missing; return seconds and findings.

        A sparse original is dense for `rewind_epochs`. Retrain has the mask, which was found on `D`, from the start.
        """
        rewinding = []
        if mask and self.sparsity and module.part == "train":  # its first steps are those of the dense original
            rewinding = [Rewinding(mask, self.sparsity.made.rewind_epochs)]
        else:
            module.defender.hold(mask)
        content = self.content(module, split, sparse=bool(mask))
        path = self.store.path(module.phase, content)
        return self._trained(module, split, path, content, mask, rewinding) | {"store": str(path)}

    def unlearned(self, module: UnlearningModule, split: Split, mask: Mask, watchers: Callbacks = ()) -> dict[str, Any]:
        """Apply a method to the original in its defender, and write the run's weights; return seconds and findings."""
        module.defender.hold(mask)
        content = {"configuration": self.configuration, "data_hash": split.data_hash, "split_hash": split.split_hash}
        content |= {"recipe_number": RECIPE_NUMBER, "original": tensors_digest(module.defender.network.state_dict())}
        return self._trained(module, split, self.folder / "unlearned.safetensors", content, mask, watchers)

    def _trained(
        self, module: UnlearningModule, split: Split, path: Path, content: Content, mask: Mask, callbacks: Callbacks = ()
    ) -> dict[str, Any]:
        """Weights from a file, which is trained first if it is missing, from the last checkpoint on if there is one."""

        def train() -> tuple[dict[str, Tensor], float, dict[str, Any]]:
            seconds = self.fit(module, split, resume_path(path), content, callbacks)
            about = hardware(self.device)
            measured_on = f"{self.devices} x {about['name']}, {about['threads']} threads"
            return module.defender.network.state_dict(), seconds, {**module.findings, "measured_on": measured_on}

        entry, trained = on_rank_zero(partial(get_or_train, path, content), train)
        module.defender.network.load_state_dict(entry.weights)
        module.defender.hold(mask)
        print(f"{module.label}: {'trained into' if trained else 'taken from'} {entry.path}")
        return {"seconds": entry.seconds, **entry.findings}

    def data(self, module: UnlearningModule, split: Split) -> UnlearningDataModule:
        """The batches that a module is trained on."""
        return UnlearningDataModule(split, self.transform, key(self.seed, module.phase), module.loader)

    def fit(self, module: UnlearningModule, split: Split, path: Path, content: Content, callbacks: Callbacks = ()) -> float:
        """Train a module, from the checkpoint at `path` on if it has the same content; return the seconds of all parts.

        Raises:
            RuntimeError: the method moved a pruned weight away from zero.
        """
        if self.compile:  # the attacker is small, and a penalty on its slope needs second derivatives
            module.defender.compile(backend=self.compile)
        clock, guard = Clock(bool(self.compile)), Guard(module.label, self.folder / "last_good.safetensors")
        kept = CheckpointWriter(path, {**content, "file": path.name}, self.checkpoint_seconds)
        watching = [clock, guard, TrainingBar(module.label), kept, *callbacks]
        trainer = self.trainer(watching, self.devices, max_epochs=module.epochs, plugins=[kept.io])
        trainer.fit(module, datamodule=self.data(module, split), ckpt_path=kept.found())
        if not module.defender.holds_mask():
            raise RuntimeError(f"{module.label} changed pruned weights: call defender.prune() after every change")
        return clock.seconds - module.untimed

    def trainer(self, callbacks: Sequence[L.Callback], devices: int = 1, **more: Any) -> L.Trainer:
        """See `make_trainer`; models are evaluated on one device."""
        trainer = make_trainer(self.trainer_settings, callbacks, self.loggers, devices, **more)
        self.device = trainer.strategy.root_device  # modules are back on the CPU once a fit or test is over
        return trainer


def _pruning(sparsity: Configured) -> dict[str, Any]:
    """The settings that a mask depends on: only the original is rewound."""
    return {name: value for name, value in sparsity.settings.items() if name != "rewind_epochs"}

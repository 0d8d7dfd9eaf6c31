"""From a split to trained defenders: modules, their training, and the weights that the store keeps of it."""

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from dau_lightning.base.devices import PATIENCE, Alike, hardware, led
from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import key, reseed
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.network.defender import Defender
from dau_lightning.sparsity.omp import OMP
from dau_lightning.storage.run_folder import content_of
from dau_lightning.storage.seal import tensors_digest
from dau_lightning.storage.store import RECIPE_NUMBER, Store, get_or_train, resume_path
from dau_lightning.training.checkpoint import CheckpointWriter
from dau_lightning.training.clock import Clock
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.progress_bar import TrainingBar
from dau_lightning.training.rewinding import Rewinding

# What Lightning says to everybody at every start, and where Slurm is installed; a call of its own that torch deprecates.
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
for message in ("The `srun` command is available", ".*LeafSpec.* is deprecated"):
    warnings.filterwarnings("ignore", message=message)
os.environ["SLURM_JOB_NAME"] = "interactive"  # a Slurm around a run is the sweep's business: so told, Lightning leaves it alone

Method = Callable[..., UnlearningModule]


@dataclass
class Training:
    """Makes and trains the defenders of a run.

    Attributes:
        network: makes a network from `num_classes` and `in_channels`.
        sparsity: finds the mask of a trained network; None for dense ones.
        settings: the composed configuration; of it this file reads `seed`, `transform`, `store`, `checkpoint`, `compile`,
            `recipe` (the keywords of `SGDMethod` by which original and Retrain are trained), `trainer` (those of Lightning's
            Trainer), and, for the content of the store, `network` and `sparsity`.
        loggers: of every metric.
        folder: of the run.
    """

    network: Callable[..., nn.Module]
    sparsity: OMP | None
    settings: Mapping[str, Any]
    loggers: list[Logger]
    folder: Path

    def __post_init__(self) -> None:
        """Take what is used often out of the settings."""
        self.seed: int = self.settings["seed"]
        self.transform = Transform(**self.settings["transform"])
        self.store = Store(Path(self.settings["store"]["root"]))
        self.devices: int = self.settings["trainer"]["devices"]
        self.device = torch.device("cpu")

    def module(self, method: Method, split: Split) -> UnlearningModule:
        """A method around a network with new weights; those trained from scratch take the recipe."""
        kind = cast(type[UnlearningModule], getattr(method, "func", method))
        with torch.random.fork_rng(devices=[]):
            reseed(self.seed, "weights", kind.phase)
            classes, channels = len(split.train.class_names), split.train.images.shape[1]
            network = self.network(num_classes=classes, in_channels=channels).to(memory_format=torch.channels_last)
            defender = Defender(network, self.settings["network"].get("features"))
            defender.try_on(self.transform.normalise(split.train.images[:2]), classes)
            return method(defender=defender, seed=self.seed, **(self.settings["recipe"] if kind.from_scratch else {}))

    def content(self, module: UnlearningModule, split: Split, sparse: bool = True) -> dict[str, Any]:
        """All that a defender trained from scratch depends on; rewinding is the original's alone."""
        content = {
            "data": split.data_hash if module.part == "train" else split.split_hash,
            "network": self.settings["network"],
            "recipe": self.settings["recipe"],
            "transform": asdict(self.transform),
            "precision": self.settings["trainer"]["precision"],
            "seed": self.seed,
        }
        if not str(self.settings["network"].get("_target_", "dau_lightning.")).startswith("dau_lightning."):
            shapes = {name: list(tensor.shape) for name, tensor in module.defender.network.state_dict().items()}
            content["shapes"] = shapes  # code of one's own may change under its name
        if self.devices > 1:
            content["devices"] = self.devices  # each has batch statistics of its own
        if self.sparsity and sparse:
            content["sparsity"] = self.settings["sparsity"] if module.part == "train" else self._pruning()
        return content

    def _pruning(self) -> dict[str, Any]:
        """The settings that a mask depends on."""
        return {name: value for name, value in self.settings["sparsity"].items() if name != "rewind_epochs"}

    def mask(self, split: Split, original_method: Method) -> Mapping[str, Tensor]:
        """Which weights stay, by name: found once on the trained dense original; empty where no weight is pruned."""
        if self.sparsity is None:
            return {}
        find, original = self.sparsity, self.module(original_method, split)

        def find_mask() -> tuple[dict[str, Tensor], float, dict[str, float]]:
            print("dense original, whose smallest weights are pruned:")
            self.from_scratch(original, split, {})
            return dict(find(original.defender.network)), 0.0, {}

        content = self.content(original, split, sparse=False) | {"sparsity": self._pruning()}
        entry, _ = led(partial(get_or_train, self.store.path("mask", content), content), find_mask)
        return entry.weights

    def from_scratch(self, module: UnlearningModule, split: Split, mask: Mapping[str, Tensor]) -> dict[str, Any]:
        """Weights from the store, trained into it first where they are missing; the seconds of their training, and where.

        A sparse original is dense for `rewind_epochs`; Retrain has its mask, found on `D`, from its new weights on.
        """
        rewinding = []
        if mask and self.sparsity and module.part == "train":  # its first steps are the dense one's
            rewinding = [Rewinding(mask, self.sparsity.rewind_epochs)]
        else:
            module.defender.hold(mask)
        content = self.content(module, split, sparse=bool(mask))
        path = self.store.path(module.phase, content)
        return self._trained(module, split, path, content, mask, rewinding) | {"store": str(path)}

    def unlearned(
        self, module: UnlearningModule, split: Split, mask: Mapping[str, Tensor], watchers: Sequence[L.Callback] = ()
    ) -> dict[str, Any]:
        """A method applied to the original in its defender, into the folder of the run; the seconds and findings of it.

        `watchers` change nothing.
        """
        module.defender.hold(mask)
        content = content_of(self.settings) | {"data_hash": split.data_hash, "split_hash": split.split_hash}
        content |= {"recipe_number": RECIPE_NUMBER, "original": tensors_digest(module.defender.network.state_dict())}
        return self._trained(module, split, self.folder / "unlearned.safetensors", content, mask, watchers)

    def _trained(
        self,
        module: UnlearningModule,
        split: Split,
        path: Path,
        content: Mapping[str, Any],
        mask: Mapping[str, Tensor],
        callbacks: Sequence[L.Callback] = (),
    ) -> dict[str, Any]:
        """Weights from a file, trained into it first where it is missing, from the last checkpoint on where there is one."""

        def train() -> tuple[dict[str, Tensor], float, dict[str, Any]]:
            seconds = self.fit(module, split, resume_path(path), content, callbacks)
            return module.defender.network.state_dict(), seconds, {**module.findings, "measured_on": self._measured_on()}

        entry, trained = led(partial(get_or_train, path, content), train)
        module.defender.network.load_state_dict(entry.weights)
        module.defender.hold(mask)
        print(f"{module.label}: {'trained into' if trained else 'taken from'} {entry.path}")
        return {"seconds": entry.seconds, **entry.findings}

    def _measured_on(self) -> str:
        """Where seconds may be compared with seconds."""
        about = hardware(self.device)
        return f"{self.devices} x {about['name']}, {about['threads']} threads"

    def data(self, module: UnlearningModule, split: Split) -> UnlearningDataModule:
        """What a module is trained on."""
        return UnlearningDataModule(split, self.transform, key(self.seed, module.phase), module.loader)

    def fit(
        self,
        module: UnlearningModule,
        split: Split,
        path: Path,
        content: Mapping[str, Any],
        callbacks: Sequence[L.Callback] = (),
    ) -> float:
        """Train a module, from the checkpoint at a path on if it is of the same content; the seconds of all its parts.

        Raises:
            RuntimeError: the method moved a pruned weight away from zero.
        """
        if backend := self.settings["compile"]:  # the attacker is small, and a penalty on its slope needs second derivatives
            module.defender.compile(backend=backend)
        clock, guard = Clock(bool(self.settings["compile"])), Guard(module.label, self.folder / "last_good.safetensors")
        kept = CheckpointWriter(path, {**content, "file": path.name}, self.settings["checkpoint"]["seconds"])
        watching = [clock, guard, TrainingBar(module.label), kept, *callbacks]
        trainer = self.trainer(watching, self.devices, max_epochs=module.epochs, plugins=[kept.io])
        trainer.fit(module, datamodule=self.data(module, split), ckpt_path=kept.found())
        if not module.defender.holds_mask():
            raise RuntimeError(f"{module.label} changed pruned weights: call defender.prune() after every change")
        return clock.seconds - module.untimed

    def trainer(self, callbacks: Sequence[L.Callback], devices: int = 1, **more: Any) -> L.Trainer:
        """A quiet Trainer: its own bar, checkpoints and summary are off. Models are judged on one device, by the leader."""
        # With it a GPU's convolutions keep 10 bits of a factor: too few for evaluation, small noise, FF and IU. Training in
        # 32-true is the slower for it; who wants speed takes bf16-mixed.
        torch.backends.cudnn.allow_tf32 = False
        try:
            trainer = L.Trainer(
                **{**self.settings["trainer"], "devices": devices, "max_epochs": 1, **more},
                strategy=Alike(timeout=PATIENCE) if devices > 1 else "auto",
                logger=self.loggers,
                callbacks=list(callbacks),
                log_every_n_steps=1,
                enable_progress_bar=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
            )
        except MisconfigurationException as error:
            accelerator = self.settings["trainer"]["accelerator"]
            raise InputError(f"trainer.accelerator={accelerator} cannot be used here: {error}") from error
        self.device = trainer.strategy.root_device  # modules are back on the CPU once a fit or test is over
        return trainer

"""From a split to trained defenders: modules, their training, and the weights that the store keeps of it."""

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from dau_lightning.baseline.original import Original
from dau_lightning.callbacks import Clock, Guard, PhaseBar
from dau_lightning.datamodule import UnlearningDataModule
from dau_lightning.error import InputError
from dau_lightning.module import UnlearningModule
from dau_lightning.network import Defender
from dau_lightning.randomness import key
from dau_lightning.sparsity.omp import OMP
from dau_lightning.split import Split
from dau_lightning.store import Store
from dau_lightning.transform import Transform

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
        settings: the composed configuration; of it this file reads `seed`, `transform`, `store`, `recipe` (the keywords of
            `Descent` by which original and Retrain are trained), `trainer` (those of Lightning's Trainer), and, for the
            content of the store, `network` and `sparsity`.
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
        self.device = torch.device("cpu")

    def module(self, method: Method, split: Split) -> UnlearningModule:
        """A method around a network with new weights; those trained from scratch take the recipe."""
        kind = cast(type[UnlearningModule], getattr(method, "func", method))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, "weights", kind.phase))
            classes, channels = len(split.train.class_names), split.train.images.shape[1]
            network = self.network(num_classes=classes, in_channels=channels).to(memory_format=torch.channels_last)
            return method(defender=Defender(network), seed=self.seed, **(self.settings["recipe"] if kind.from_scratch else {}))

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
        if self.sparsity and sparse:
            content["sparsity"] = self.settings["sparsity"] if module.part == "train" else self._pruning()
        return content

    def _pruning(self) -> dict[str, Any]:
        """The settings that a mask depends on."""
        return {name: value for name, value in self.settings["sparsity"].items() if name != "rewind_epochs"}

    def mask(self, split: Split) -> Mapping[str, Tensor]:
        """Which weights stay, by name: found once on the trained dense original; empty where no weight is pruned."""
        if self.sparsity is None:
            return {}
        find, original = self.sparsity, self.module(Original, split)

        def find_mask() -> tuple[dict[str, Tensor], float]:
            print("dense original, whose smallest weights are pruned:")
            self.from_scratch(original, split, {})
            return dict(find(original.defender.network)), 0.0

        content = self.content(original, split, sparse=False) | {"sparsity": self._pruning()}
        entry, _ = self.store.get_or_train("mask", content, find_mask)
        return entry.weights

    def from_scratch(self, module: UnlearningModule, split: Split, mask: Mapping[str, Tensor]) -> dict[str, Any]:
        """Weights from the store, trained into it first where they are missing; the seconds of their training, and where.

        A sparse original is dense for `rewind_epochs`; Retrain has its mask, found on `D`, from its new weights on.
        """

        def train() -> tuple[dict[str, Tensor], float]:
            seconds, first = 0.0, 0
            if mask and self.sparsity and module.part == "train":  # rewinding: these steps are the dense one's
                first = self.sparsity.rewind_epochs
                seconds += self.fit(module, split, last=first)
            module.defender.hold(mask)
            seconds += self.fit(module, split, first=first)
            return module.defender.network.state_dict(), seconds

        entry, trained = self.store.get_or_train(module.phase, self.content(module, split, sparse=bool(mask)), train)
        module.defender.network.load_state_dict(entry.weights)
        module.defender.hold(mask)
        print(f"{module.label}: {'trained into' if trained else 'taken from'} {entry.path}")
        return {"seconds": entry.seconds, "store": str(entry.path)}

    def data(self, module: UnlearningModule, split: Split) -> UnlearningDataModule:
        """What a module is trained on."""
        return UnlearningDataModule(split, self.transform, key(self.seed, module.phase), module.loader)

    def fit(
        self,
        module: UnlearningModule,
        split: Split,
        first: int = 0,
        last: int | None = None,
        watchers: Sequence[L.Callback] = (),
    ) -> float:
        """Train a module through some of its epochs, all by default; the seconds that it took. `watchers` change nothing.

        Raises:
            RuntimeError: the method moved a pruned weight away from zero.
        """
        if first == last:
            return 0.0
        clock, guard = Clock(), Guard(module.label, self.folder / "last_good.safetensors")
        trainer = self.trainer(
            [clock, guard, PhaseBar(module.label), *watchers], max_epochs=module.epochs if last is None else last
        )
        epochs = cast(Any, trainer.fit_loop.epoch_progress.current)
        epochs.ready = epochs.started = epochs.processed = epochs.completed = first
        trainer.fit(module, datamodule=self.data(module, split))
        if not module.defender.holds_mask():
            raise RuntimeError(f"{module.label} changed pruned weights: call defender.prune() after every change")
        return clock.seconds - module.untimed

    def trainer(self, callbacks: Sequence[L.Callback], max_epochs: int = 1) -> L.Trainer:
        """A quiet Trainer: its own bar, checkpoints and summary are off."""
        try:
            trainer = L.Trainer(
                **self.settings["trainer"],
                max_epochs=max_epochs,
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

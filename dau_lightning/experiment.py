"""The story of one run: original, reference, unlearning, evaluation, record."""

import logging
import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from torch import nn
from torchmetrics import Metric

from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.callbacks import Clock, Evaluation, Guard, PhaseBar
from dau_lightning.datamodule import Transform, UnlearningDataModule
from dau_lightning.dataset import Data
from dau_lightning.error import InputError
from dau_lightning.folder import write_result
from dau_lightning.metric.disparity import disparity, gaps
from dau_lightning.metric.selection import selection_score
from dau_lightning.module import UnlearningModule, log
from dau_lightning.network import Defender
from dau_lightning.randomness import key
from dau_lightning.split import Scheme, Split, emptied_classes, make_split
from dau_lightning.store import Store, save_weights

PACKAGES = "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn", "dau-lightning"
PARTS = "train", "retain", "forget", "val", "judge", "outside", "test_retain", "test_forget"

# What Lightning says to everybody at every start; and a call of its own that torch >= 2.15 deprecates.
for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", module="lightning")

Row = dict[str, Any]
Method = Callable[..., UnlearningModule]


@dataclass
class Experiment:
    """Everything that one run is made of.

    Attributes:
        names: the choices `dataset`, `network`, `scheme`, `sparsity`, `baseline`.
        seed: of everything random.
        dataset: loads the official sets.
        transform: pixels to inputs.
        scheme: what to forget.
        network: makes a network from `num_classes` and `in_channels`.
        settings: the composed configuration; of it this file reads `network` for the store, `recipe`, the keywords of
            `UnlearningModule` by which original and Retrain are trained, and `trainer`, those of Lightning's Trainer.
        method: makes the unlearning module.
        attacks: metrics by name; `confidence` gives the column MIA.
        reference: `train`, `cached` or `off`.
        selection: judge by the selection score, without Retrain and test data.
        store: of trained defenders.
        loggers: of every metric.
        folder: of the run.
    """

    names: Mapping[str, str]
    seed: int
    dataset: Callable[[], Data]
    transform: Transform
    scheme: Scheme
    network: Callable[..., nn.Module]
    settings: Mapping[str, Any]
    method: Method
    attacks: Mapping[str, Metric]
    reference: str
    selection: bool
    store: Store
    loggers: list[Logger]
    folder: Path
    _device: torch.device = field(init=False)

    def run(self) -> dict[str, Any]:
        """Run it, and write `result.json` last of all.

        Returns:
            The content of `result.json`.

        Raises:
            InputError: something given cannot be used; before any training.
            TrainingError: a loss is not finite.
        """
        self._trainer([])  # an accelerator that is not there is told before any data is read
        split = make_split(self.dataset(), self.scheme, self.seed, self.selection)
        modules = {"retrain": self._module(Retrain, split)} if self.reference != "off" and not self.selection else {}
        modules["original"] = self._module(Original, split)
        name = self.names["baseline"]
        modules.setdefault(name, self._module(self.method, split))
        self._check(modules, split)
        self._announce(modules[name], split)

        rows: dict[str, Row] = {}
        for kind, module in modules.items():
            if module.from_scratch:
                training = self._train(module, split)
            else:
                module.defender.load_state_dict(modules["original"].defender.state_dict())
                training = {"seconds": self._fit(module, split)}
            rows[kind] = {"label": module.label, **self._evaluate(module, split), **training, **module.findings}
        self._compare(rows, split)
        return self._record(rows, modules[name], split)

    def _module(self, method: Method, split: Split) -> UnlearningModule:
        """A method around a network with new weights; those trained from scratch take the recipe."""
        kind = cast(type[UnlearningModule], getattr(method, "func", method))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, "weights", kind.phase))
            classes, channels = len(split.train.class_names), split.train.images.shape[1]
            network = self.network(num_classes=classes, in_channels=channels).to(memory_format=torch.channels_last)
            return method(defender=Defender(network), seed=self.seed, **(self.settings["recipe"] if kind.from_scratch else {}))

    def _content(self, module: UnlearningModule, split: Split) -> dict[str, Any]:
        """All that a defender trained from scratch depends on."""
        return {
            "data": split.data_hash if module.part == "train" else split.split_hash,
            "network": self.settings["network"],
            "recipe": self.settings["recipe"],
            "transform": asdict(self.transform),
            "precision": self.settings["trainer"]["precision"],
            "seed": self.seed,
        }

    def _check(self, modules: Mapping[str, UnlearningModule], split: Split) -> None:
        """What can only be seen with data and objects at hand, and before any training."""
        channels = split.train.images.shape[1]
        if not len(self.transform.mean) == len(self.transform.std) == channels:
            raise InputError(
                f"transform.mean and transform.std must have one number for each of the {channels} channels of the images"
            )
        if "confidence" not in self.attacks:
            raise InputError(f"metric must include confidence, the attack of the column MIA; got {', '.join(self.attacks)}")
        self.store.check_writable()
        if self.reference == "cached" and "retrain" in modules:
            content = self._content(modules["retrain"], split)
            if self.store.get("retrain", content) is None:
                raise InputError(
                    f"reference=cached needs a Retrain of this split and recipe in {self.store.root}, there is none; "
                    "use reference=train to train it or reference=off to go without"
                )

    def _announce(self, method: UnlearningModule, split: Split) -> None:
        """Say what is about to happen to which samples."""
        emptied = ", ".join(emptied_classes(split))
        of_class, of_test = (f" (class {emptied})", f" and {len(split.test_forget):,} of {emptied}") if emptied else ("", "")
        print(f"{self.names['dataset']}, {self.names['scheme']}, seed {self.seed}: forget {len(split.forget):,}{of_class} of")
        print(
            f"{len(split.train):,} training images; {len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test"
        )
        if method.one_pass:
            counts = {
                name: min(len(getattr(split, name)), method.limits.get(name, len(split.train))) for name in method.batch_sizes
            }
            visited = " and ".join(f"{count:,} {name}" for name, count in counts.items())
            print(f"{method.label}: one pass over {visited} images, and one change of the weights at its end")
        elif "forget" in method.batch_sizes:
            sizes, steps = method.batch_sizes, -(-len(getattr(split, method.part)) // method.batch_sizes[method.part])
            visits = steps * sizes["forget"] / len(split.forget)
            print(
                f"{method.label}: {method.epochs} epochs of {steps} steps, each visits every forget sample {visits:.1f} times"
            )

    def _train(self, module: UnlearningModule, split: Split) -> Row:
        """Weights from the store, trained into it first where they are missing; the seconds of their training, and where."""

        def train() -> tuple[dict[str, Any], float]:
            seconds = self._fit(module, split)
            return module.defender.network.state_dict(), seconds

        entry, trained = self.store.get_or_train(module.phase, self._content(module, split), train)
        module.defender.network.load_state_dict(entry.weights)
        print(f"{module.label}: {'trained into' if trained else 'taken from'} {entry.path}")
        return {"seconds": entry.seconds, "store": str(entry.path)}

    def _fit(self, module: UnlearningModule, split: Split) -> float:
        """Train a module; the seconds that it took."""
        clock = Clock()
        guard = Guard(module.label, self.folder / "last_good.safetensors")
        seed = key(self.seed, module.phase)
        data = UnlearningDataModule(
            split, self.transform, module.batch_sizes, seed, one_pass=module.one_pass, limits=module.limits
        )
        self._trainer([clock, guard, PhaseBar(module.label)], max_epochs=module.epochs).fit(module, datamodule=data)
        return clock.seconds - module.untimed

    def _evaluate(self, module: UnlearningModule, split: Split) -> Row:
        """Accuracies and attacks of a defender, as in EVALUATION section 1."""
        parts = ["retain", "forget", *(("judge", "outside") if self.selection else ("test_retain", "test_forget"))]
        parts = [part for part in parts if len(getattr(split, part))]
        nonmembers = "outside" if self.selection else "test_retain"
        targets = ("forget", "judge") if self.selection else ("forget",)
        evaluations = [
            Evaluation(
                parts,
                len(split.train.class_names),
                self.attacks,
                {"retain": "member", nonmembers: "nonmember", target: "forget"},
            )
            for target in targets
        ]
        data = UnlearningDataModule(split, self.transform, {}, self.seed, tuple(parts))
        self._trainer(evaluations).test(module, datamodule=data, verbose=False)
        accuracy, efficacy = evaluations[0].accuracy(), evaluations[0].efficacy()
        row = {"UA": 100 - accuracy["forget"], "MIA": efficacy["confidence"], "RA": accuracy["retain"]}
        if self.selection:
            judges = len(split.judge), len(split.outside)
            error = 100 - (judges[0] * accuracy["judge"] + judges[1] * accuracy["outside"]) / sum(judges)
            return row | {"judge_error": error, "judge_MIA": evaluations[1].efficacy()["confidence"]}
        return row | {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": efficacy}

    def _compare(self, rows: dict[str, Row], split: Split) -> None:
        """Add gaps and disparity to Retrain, or the selection score."""
        for row in rows.values():
            if self.selection:
                row |= selection_score(row, rows["original"], whole_class=bool(emptied_classes(split)))
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row["time_ratio"] = row["seconds"] / rows["retrain"]["seconds"]

    def _trainer(self, callbacks: Sequence[L.Callback], max_epochs: int = 1) -> L.Trainer:
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
        self._device = trainer.strategy.root_device  # modules are back on the CPU once a fit or test is over
        return trainer

    def _record(self, rows: dict[str, Row], method: UnlearningModule, split: Split) -> dict[str, Any]:
        """Write weights, CSV and `result.json`, the last by renaming, since it says that the run is finished."""
        for name, row in rows.items():
            numbers = {column: value for column, value in row.items() if isinstance(value, int | float)}
            nested = {
                f"{group}/{column}": value for group in ("gaps", "attacks") for column, value in row.get(group, {}).items()
            }
            log(self.loggers, f"row/{name}", 0, numbers | nested)
        hashes = {"data_hash": split.data_hash, "split_hash": split.split_hash}
        save_weights(self.folder / "unlearned.safetensors", method.defender.network.state_dict(), hashes)
        result = {
            **self.names,
            "seed": self.seed,
            **hashes,
            "selection": self.selection,
            "forgotten_classes": emptied_classes(split),
            "counts": {part: len(getattr(split, part)) for part in PARTS},
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "hardware": hardware(self._device),
            "settings": self.settings,
            "rows": rows,
        }
        write_result(self.folder, result)
        return result


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}

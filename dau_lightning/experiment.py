"""The story of one run: original, mask, reference, unlearning, evaluation, record."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torchmetrics import Metric

from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.callbacks import Evaluation
from dau_lightning.datamodule import UnlearningDataModule
from dau_lightning.dataset import Data
from dau_lightning.error import InputError
from dau_lightning.flag import flags
from dau_lightning.folder import evaluated, write_result
from dau_lightning.metric.disparity import disparity, gaps
from dau_lightning.metric.selection import selection_score
from dau_lightning.module import UnlearningModule, log
from dau_lightning.sparsity.omp import measured_sparsity
from dau_lightning.split import Scheme, Split, emptied_classes, make_split
from dau_lightning.store import digest, save_weights
from dau_lightning.training import Method, Training

PACKAGES = "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn", "dau-lightning"
PARTS = "train", "retain", "forget", "val", "judge", "outside", "test_retain", "test_forget"

Row = dict[str, Any]


@dataclass
class Experiment:
    """Everything that one run is made of.

    Attributes:
        names: the choices `dataset`, `network`, `scheme`, `sparsity`, `baseline`.
        dataset: loads the official sets.
        scheme: what to forget.
        method: makes the unlearning module.
        attacks: metrics by name; `confidence` gives the column MIA.
        reference: `train`, `cached` or `off`.
        selection: judge by the selection score, without Retrain and test data.
        training: makes and trains the defenders.
        start: called once all that was given is known to be usable, before any training.
    """

    names: Mapping[str, str]
    dataset: Callable[[], Data]
    scheme: Scheme
    method: Method
    attacks: Mapping[str, Metric]
    reference: str
    selection: bool
    training: Training
    start: Callable[[], None]

    def run(self) -> dict[str, Any]:
        """Run it, and write `result.json` last of all.

        Returns:
            The content of `result.json`.

        Raises:
            InputError: something given cannot be used; before any training.
            TrainingError: a loss is not finite.
        """
        training, name = self.training, self.names["baseline"]
        training.trainer([])  # an accelerator that is not there is told before any data is read
        split = make_split(self.dataset(), self.scheme, training.seed, self.selection)
        modules = {"retrain": training.module(Retrain, split)} if self.reference != "off" and not self.selection else {}
        modules["original"] = training.module(Original, split)
        modules.setdefault(name, training.module(self.method, split))
        self._check(modules, split)
        self.start()
        self._announce(modules[name], split)

        mask, rows = training.mask(split), dict[str, Row]()
        for kind, module in modules.items():
            if module.from_scratch:
                trained = training.from_scratch(module, split, mask)
            else:
                module.defender.load_state_dict(modules["original"].defender.state_dict())
                trained = training.unlearned(module, split, mask)
            key = f"{split.split_hash} {digest(module.defender.network.state_dict())}"
            evaluation = evaluated(training.folder, key, partial(self._evaluate, module, split))
            rows[kind] = {"label": module.label, **evaluation, **trained}
        self._compare(rows, split)
        return self._record(rows, modules[name], split)

    def _check(self, modules: Mapping[str, UnlearningModule], split: Split) -> None:
        """What can only be seen with data and objects at hand, and before any training."""
        training, channels = self.training, split.train.images.shape[1]
        transform, recipe = training.transform, training.settings["recipe"]
        if not len(transform.mean) == len(transform.std) == channels:
            raise InputError(
                f"transform.mean and transform.std must have one number for each of the {channels} channels of the images"
            )
        if "confidence" not in self.attacks:
            raise InputError(f"metric must include confidence, the attack of the column MIA; got {', '.join(self.attacks)}")
        if training.sparsity and not training.sparsity.rewind_epochs < recipe["epochs"]:
            raise InputError(
                f"sparsity.rewind_epochs must be below recipe.epochs={recipe['epochs']}, got {training.sparsity.rewind_epochs}"
            )
        for module in modules.values():
            training.data(module, split).train_dataloader()  # refuses batches that its parts cannot fill
        training.store.check_writable()
        cached = self.reference == "cached" and modules.get("retrain")
        if cached and training.store.get("retrain", training.content(cached, split)) is None:
            raise InputError(
                f"reference=cached needs a Retrain of this split and recipe in {training.store.root}, there is none; "
                "use reference=train to train it or reference=off to go without"
            )

    def _announce(self, method: UnlearningModule, split: Split) -> None:
        """Say what is about to happen to which samples."""
        emptied = ", ".join(emptied_classes(split))
        of_class, of_test = (f" (class {emptied})", f" and {len(split.test_forget):,} of {emptied}") if emptied else ("", "")
        head = ", ".join([self.names["dataset"], self.names["scheme"], f"seed {self.training.seed}"])
        print(f"{head}: forget {len(split.forget):,}{of_class} of")
        print(
            f"{len(split.train):,} training images; {len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test"
        )
        print(method.plan(len(self.training.data(method, split).train_dataloader()), split))

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
        data = UnlearningDataModule(split, self.training.transform, self.training.seed, evaluate=tuple(parts))
        self.training.trainer(evaluations).test(module, datamodule=data, verbose=False)
        accuracy, efficacy = evaluations[0].accuracy(), evaluations[0].efficacy()
        row = {"UA": 100 - accuracy["forget"], "MIA": efficacy["confidence"], "RA": accuracy["retain"]}
        row["sparsity"] = measured_sparsity(module.defender.network)
        if self.selection:
            judges = len(split.judge), len(split.outside)
            error = 100 - (judges[0] * accuracy["judge"] + judges[1] * accuracy["outside"]) / sum(judges)
            return row | {"judge_error": error, "judge_MIA": evaluations[1].efficacy()["confidence"]}
        return row | {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": efficacy}

    def _compare(self, rows: dict[str, Row], split: Split) -> None:
        """Add gaps and disparity to Retrain, or the selection score, and what is wrong with a row."""
        for row in rows.values():
            if self.selection:
                row |= selection_score(row, rows["original"], whole_class=bool(emptied_classes(split)))
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row["time_ratio"] = row["seconds"] / rows["retrain"]["seconds"]
        for name, found in flags(rows, whole_class=bool(emptied_classes(split))).items():
            rows[name]["flags"] = found

    def _record(self, rows: dict[str, Row], method: UnlearningModule, split: Split) -> dict[str, Any]:
        """Write weights, CSV and `result.json`, the last by renaming, since it says that the run is finished."""
        for name, row in rows.items():
            numbers = {column: value for column, value in row.items() if isinstance(value, int | float)}
            nested = {
                f"{group}/{column}": value for group in ("gaps", "attacks") for column, value in row.get(group, {}).items()
            }
            log(self.training.loggers, f"row/{name}", 0, numbers | nested)
        hashes = {"data_hash": split.data_hash, "split_hash": split.split_hash}
        if method.from_scratch:
            save_weights(self.training.folder / "unlearned.safetensors", method.defender.network.state_dict(), hashes)
        result = {
            **self.names,
            "seed": self.training.seed,
            **hashes,
            "selection": self.selection,
            "forgotten_classes": emptied_classes(split),
            "counts": {part: len(getattr(split, part)) for part in PARTS},
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "hardware": hardware(self.training.device),
            "settings": self.training.settings,
            "rows": rows,
        }
        write_result(self.training.folder, result)
        return result


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}

"""The story of one run: original, mask, reference, unlearning, evaluation, record."""

import os
import platform
import time
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
from dau_lightning.card import model_card
from dau_lightning.datamodule import UnlearningDataModule
from dau_lightning.dataset import Data
from dau_lightning.error import InputError, require
from dau_lightning.flag import flags
from dau_lightning.folder import evaluated, given_files, write_result
from dau_lightning.ledger import Former
from dau_lightning.ledger import write as write_ledger
from dau_lightning.metric.disparity import disparity, gaps
from dau_lightning.metric.selection import selection_score
from dau_lightning.module import UnlearningModule, log
from dau_lightning.request import Scheme, described
from dau_lightning.sparsity.omp import measured_sparsity
from dau_lightning.split import Split, emptied_classes, make_split
from dau_lightning.store import digest, save_weights
from dau_lightning.training import Method, Training
from dau_lightning.weights import Given
from dau_lightning.witness import Recorder, Witness

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
        figures: keep what pictures need, in the folder of the run.
        dynamics: how often the unlearning is measured on its way, for a picture.
        command: what was typed.
        given: weights to start from; None trains an original by the recipe.
        former: the run that left them, whose requests are counted in.
        val_from_test: the share of the test set that is `D_v`, see `make_split`.
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
    figures: bool = False
    dynamics: int = 0
    command: str = ""
    given: Given | None = None
    former: Former | None = None
    val_from_test: float | None = None

    @property
    def judged(self) -> bool:
        """Whether half of `D_v` is kept for the selection score, in place of a Retrain that nobody could make."""
        return self.given is not None and self.reference == "off" and not self.selection

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
        split = make_split(
            self.dataset(),
            self.scheme,
            training.seed,
            self.selection or self.judged,
            val_from_test=self.val_from_test,
            hold_out=not (self.given and self.given.saw_all),
            forgotten=self.former.ids if self.former else (),
        )
        training.transform.check(split.train.images)
        modules = {"retrain": training.module(Retrain, split)} if self.reference != "off" and not self.selection else {}
        modules["original"] = training.module(Original, split)
        modules.setdefault(name, training.module(self.method, split))
        if self.given:
            self.given.into(modules["original"].defender.network)
        self._check(modules, split)
        self.start()
        self._announce(modules[name], split)

        mask, rows = training.mask(split), dict[str, Row]()
        witness = Witness(split, training.seed, training.transform, self.attacks["confidence"], self.dynamics)
        for kind, module in modules.items():
            if self.given and kind == "original":
                module.defender.hold(mask)
                trained = {"seconds": 0.0}
            elif module.from_scratch:
                trained = training.from_scratch(module, split, mask)
            else:
                module.defender.load_state_dict(modules["original"].defender.state_dict())
                watchers = witness.watchers() if self.figures and not self.selection else []
                trained = training.unlearned(module, split, mask, watchers)
            label = self.given.label if self.given and kind == "original" else module.label
            rows[kind] = {"label": label, **self._judge(kind, module, split, witness), **trained}
        self._compare(rows, split)
        if witness.recorders:
            witness.save(training.folder, {kind: row["label"] for kind, row in rows.items()}, name, self._title(split))
        return self._record(rows, modules[name], split, self._doubts(rows["original"], modules["original"], split))

    def _check(self, modules: Mapping[str, UnlearningModule], split: Split) -> None:
        """What can only be seen with data and objects at hand, and before any training."""
        training, recipe = self.training, self.training.settings["recipe"]
        if self.former:
            self.former.check_same(training.settings, split.data_hash)
        require(
            self.former is not None or self.given is None or training.sparsity is None,
            "original.checkpoint needs sparsity=dense: a sparse original is trained from its early weights on",
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
        print(described(split.request))
        print(method.plan(len(self.training.data(method, split).train_dataloader()), split))

    def _title(self, split: Split) -> str:
        """What is forgotten of what, in a few words."""
        emptied = ", ".join(emptied_classes(split))
        what = f"{len(split.forget):,} of {len(split.train):,} images" + (f", class {emptied}" if emptied else "")
        names = ", ".join(self.names[group] for group in ("dataset", "network", "scheme", "sparsity"))
        return f"{names}, seed {self.training.seed}: {what} forgotten"

    def _judge(self, kind: str, module: UnlearningModule, split: Split, witness: Witness) -> Row:
        """The numbers of a model; without pictures, for which outputs are kept, those of a run that was killed are taken."""
        if self.figures and not self.selection:  # test data may not be looked at in a selection run
            return self._evaluate(module, split, witness.recorder(kind))
        key = f"{split.split_hash} {digest(module.defender.network.state_dict())}"
        return evaluated(self.training.folder, key, partial(self._evaluate, module, split))

    def _evaluate(self, module: UnlearningModule, split: Split, recorder: Recorder | None = None) -> Row:
        """Accuracies and attacks of a defender, as in EVALUATION section 1; the recorder wants val images, too."""
        tested = () if self.selection else ("test_retain", "test_forget")
        parts = ["retain", "forget", *tested, *(["val"] if recorder else []), "judge", "outside"]
        parts = [part for part in parts if len(getattr(split, part))]
        attacked = [] if self.selection else [("test_retain", "forget")]  # nonmembers to fit on, and what is attacked
        attacked += [("outside", "forget"), ("outside", "judge")] if self.selection or self.judged else []
        evaluations = [
            Evaluation(
                parts,
                len(split.train.class_names),
                self.attacks,
                {"retain": "member", nonmembers: "nonmember", target: "forget"},
            )
            for nonmembers, target in attacked
        ]
        data = UnlearningDataModule(split, self.training.transform, self.training.seed, evaluate=tuple(parts))
        self.training.trainer([*evaluations, *([recorder] if recorder else [])]).test(module, datamodule=data, verbose=False)
        accuracy, efficacy = evaluations[0].accuracy(), evaluations[0].efficacy()
        row = {"UA": 100 - accuracy["forget"], "MIA": efficacy["confidence"], "RA": accuracy["retain"]}
        row["sparsity"] = measured_sparsity(module.defender.network)
        if self.selection or self.judged:
            judges = len(split.judge), len(split.outside)
            error = 100 - (judges[0] * accuracy["judge"] + judges[1] * accuracy["outside"]) / sum(judges)
            row |= {"judge_error": error, "judge_MIA": evaluations[-1].efficacy()["confidence"]}
        if self.judged:
            row["outside_MIA"] = evaluations[1].efficacy()["confidence"]
        return (
            row
            if self.selection
            else row | {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": efficacy}
        )

    def _compare(self, rows: dict[str, Row], split: Split) -> None:
        """Add gaps and disparity to Retrain, or the selection score, and what is wrong with a row."""
        for row in rows.values():
            if self.selection or self.judged:
                attacked = row | {"MIA": row.get("outside_MIA", row["MIA"])}
                row |= selection_score(attacked, rows["original"], whole_class=bool(emptied_classes(split)))
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row["time_ratio"] = row["seconds"] / rows["retrain"]["seconds"]
        for name, found in flags(rows, whole_class=bool(emptied_classes(split))).items():
            rows[name]["flags"] = found

    def _doubts(self, original: Row, module: UnlearningModule, split: Split) -> list[str]:
        """Reasons to trust the numbers less, said as they are found."""
        found: list[str] = []
        if self.given and not self.former:  # own weights, of whose training only their owner knows
            seen = (len(split.retain) * original["RA"] + len(split.forget) * (100 - original["UA"])) / len(split.train)
            evaluation = Evaluation(["val"], len(split.train.class_names), {}, {})
            data = UnlearningDataModule(split, self.training.transform, self.training.seed, evaluate=("val",))
            self.training.trainer([evaluation]).test(module, datamodule=data, verbose=False)
            unseen = evaluation.accuracy()["val"]
            if unseen >= seen - (seen * (100 - seen) / len(split.val)) ** 0.5:  # within one standard error
                found.append(
                    f"accuracy on D_v ({unseen:.1f}) is as high as on D ({seen:.1f}): D_v looks trained on, and then neither "
                    "the game nor the evidence means anything"
                )
        if self.reference == "off" and not self.selection:
            found.append("no Retrain (reference=off): how far the model is from one that never saw the forget set is not known")
        for warning in found:
            print(f"warning: {warning}")
        return found

    def _record(self, rows: dict[str, Row], method: UnlearningModule, split: Split, warnings: list[str]) -> dict[str, Any]:
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
            "request": dict(split.request),
            "files": given_files(self.training.settings),
            "forgotten_classes": emptied_classes(split),
            "counts": {part: len(getattr(split, part)) for part in PARTS},
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "hardware": hardware(self.training.device),
            "command": self.command,
            "settings": self.training.settings,
            "class_names": list(split.train.class_names),
            "image_shape": list(split.train.images.shape[1:]),
            "warnings": warnings,
            "start": {"source": self.given.source, "saw_all": self.given.saw_all} if self.given else {"saw_all": False},
            "rows": rows,
        }
        if self.names["baseline"] != "original":  # which forgets nothing
            result["ledger"] = self._enter(result, digest(method.defender.network.state_dict()), split)
            (self.training.folder / "model_card.md").write_text(model_card(result))
        write_result(self.training.folder, result)
        return result

    def _enter(self, result: Mapping[str, Any], weights: str, split: Split) -> str:
        """Enter the request and its evidence into the ledger; the hash of the entry."""
        told = "dataset", "network", "scheme", "sparsity", "baseline", "seed", "data_hash", "split_hash", "request", "files"
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **{name: result[name] for name in told}}
        entry |= {"settings": result["settings"]["baseline"], "evidence": result["rows"][self.names["baseline"]]}
        entry |= {"warnings": result["warnings"], "weights_sha256": weights}
        return write_ledger(self.training.folder, self.former.lines if self.former else (), entry, split.forget.ids)


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}

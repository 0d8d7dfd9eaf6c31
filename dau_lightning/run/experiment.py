"""The story of one run: original, mask, reference, unlearning, evaluation, record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torchmetrics import Metric

from dau_lightning.base.devices import gather, leads
from dau_lightning.base.error import InputError, require
from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.data.request import Scheme, described
from dau_lightning.data.split import Split, emptied_classes, emptied_share, make_split
from dau_lightning.dataset.images import Data
from dau_lightning.evaluation.evaluator import Judge, Row
from dau_lightning.evaluation.outputs_collector import OutputsCollector
from dau_lightning.run.ledger import PreviousRun
from dau_lightning.run.record import record
from dau_lightning.storage.store import get
from dau_lightning.storage.weights import StartingWeights
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.trainer import Method, Training

OTHER_RECIPE = "Retrain is trained by recipe.*, the original was not: differences of recipe count as distance"
NO_RETRAIN = "no Retrain (reference=off): how far the model is from one that never saw the forget set is not known"


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
        start: called with the hash of the split once all that was given is known to be usable, before any training.
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
    start: Callable[[str], None]
    figures: bool = False
    dynamics: int = 0
    command: str = ""
    given: StartingWeights | None = None
    former: PreviousRun | None = None
    val_from_test: float | None = None

    @property
    def scored(self) -> bool:
        """Whether half of `D_v` is kept for the selection score, in place of a Retrain that nobody could make."""
        return self.given is not None and self.reference == "off" and not self.selection

    def run(self) -> dict[str, Any]:
        """Run it, and write `result.json` last of all.

        Returns:
            The content of `result.json`; of the leader of several devices, the others get nothing.

        Raises:
            InputError: something given cannot be used; before any training.
            TrainingError: a loss is not finite.
        """
        training, name = self.training, self.names["baseline"]
        training.trainer([], training.devices)  # an accelerator that is not there is told before any data is read
        split = make_split(
            self.dataset(),
            self.scheme,
            training.seed,
            self.selection or self.scored,
            val_from_test=self.val_from_test,
            hold_out=not (self.given and self.given.trained_on_all),
            forgotten=self.former.ids if self.former else (),
        )
        training.transform.check(split.train.images)
        modules = {"retrain": training.module(Retrain, split)} if self.reference != "off" and not self.selection else {}
        modules["original"] = training.module(Original, split)
        modules.setdefault(name, training.module(self.method, split))
        if self.given:
            self.given.load_into(modules["original"].defender.network)
        self._check(modules, split)
        gather(**training.settings["trainer"])
        if leads():
            self.start(split.split_hash)
        self._announce(modules[name], split)

        pictures = self.figures and not self.selection  # in which nobody may look at test data
        witness = (
            OutputsCollector(split, training.seed, training.transform, self.attacks["confidence"], self.dynamics)
            if pictures
            else None
        )
        first_RA = self.former.first_RA if self.former else None
        judge = Judge(training, split, self.attacks, self.selection, self.scored, witness, first_RA)
        mask, rows, warnings = training.mask(split, Original), dict[str, Row](), list[str]()
        for kind, module in modules.items():
            if self.given and kind == "original":
                module.defender.hold(mask)
                trained = {"seconds": 0.0}
            elif module.from_scratch:
                trained = training.from_scratch(module, split, mask)
            else:
                module.defender.load_state_dict(modules["original"].defender.state_dict())
                trained = training.unlearned(module, split, mask, witness.watchers() if witness else [])
            if leads():
                label = self.given.label if self.given and kind == "original" else module.label
                rows[kind] = {"label": label, **judge.row(kind, module), **trained}
                warnings += self._doubts(judge, rows[kind], module) if kind == "original" else []
        if not leads():
            return {}
        judge.compare(rows)
        if witness:
            labels = {kind: row["label"] for kind, row in rows.items()}
            (metrics,) = (logger for logger in training.loggers if isinstance(logger, MetricsCSV))
            witness.save(training.folder, labels, name, self._title(split), metrics.logged("dynamics"))
        if self.reference == "off" and not self.selection:
            warnings.append(NO_RETRAIN)
        earlier = self.former.lines if self.former else ()
        start = {"source": self.given.source, "saw_all": self.given.trained_on_all} if self.given else {"saw_all": False}
        start |= {"recipe": self._recipe, "RA": rows["original"]["RA"] if first_RA is None else first_RA}
        about = {"selection": self.selection, "command": self.command, "warnings": warnings, "start": start}
        return record(training, split, modules[name], rows, earlier, **self.names, **about)

    @property
    def _recipe(self) -> Mapping[str, Any] | None:
        """By which the original of the first request was trained; None for one that was not trained here."""
        if self.former:
            return self.former.recipe
        return None if self.given else self.training.settings["recipe"]

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
            data = training.data(module, split)
            for rank in range(training.devices):  # refuses batches that its parts cannot fill, or devices not share
                module.loader(data.part, training.transform, training.seed, rank, training.devices)
            if isinstance(module, SGDMethod) and next(iter(module.batch_sizes.values())) == training.devices:
                module.defender.try_training_on_one(training.transform.normalise(split.train.images[:1]))
        training.store.check_writable()
        cached = self.reference == "cached" and modules.get("retrain")
        content = training.content(cached, split) if cached else {}
        if cached and get(training.store.path("retrain", content), content) is None:
            raise InputError(
                f"reference=cached needs a Retrain of this split and recipe in {training.store.root}, there is none; "
                "use reference=train to train it or reference=off to go without"
            )

    def _announce(self, method: UnlearningModule, split: Split) -> None:
        """Say what is about to happen to which samples."""
        emptied = ", ".join(emptied_classes(split))
        of_test = f" and {len(split.test_forget):,} of {emptied}" if emptied else ""
        head = ", ".join([self.names["dataset"], self.names["scheme"], f"seed {self.training.seed}"])
        print(f"{head}: forget {len(split.forget):,}{_classes(split)} of {len(split.train):,} training images;")
        print(f"{len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test")
        print(described(split.request))
        print(method.plan(len(self.training.data(method, split).train_dataloader()), split))

    def _title(self, split: Split) -> str:
        """What is forgotten of what, in a few words."""
        what = f"{len(split.forget):,} of {len(split.train):,} images{_classes(split)}"
        names = ", ".join(self.names[group] for group in ("dataset", "network", "scheme", "sparsity"))
        return f"{names}, seed {self.training.seed}: {what} forgotten"

    def _doubts(self, judge: Judge, original: Row, module: UnlearningModule) -> list[str]:
        """Reasons to trust weights less of whose training only their owner knows, said before anything is made of them."""
        if self.former:
            found = [warning for warning in self.former.result["warnings"] if warning not in (NO_RETRAIN, OTHER_RECIPE)]
        else:
            found = list(filter(None, [judge.looks_seen(original, module)])) if self.given else []
        if self.reference != "off" and not self.selection and self._recipe != self.training.settings["recipe"]:
            found.append(OTHER_RECIPE)
        for warning in found:
            print(f"warning: {warning}")
        return found


def _classes(split: Split) -> str:
    """The classes that are forgotten whole, alone or with single images of others, in brackets; nothing where none is."""
    if not (emptied := ", ".join(emptied_classes(split))):
        return ""
    return f" (class {emptied})" if emptied_share(split) == 1 else f" (all of {emptied} among them)"

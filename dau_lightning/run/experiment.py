"""One run from start to end: split, mask, Retrain, original, unlearning, evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dau_lightning.base.devices import is_rank_zero, launch
from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.data.copies import copy_warnings
from dau_lightning.data.request import Scheme
from dau_lightning.data.split import Split
from dau_lightning.dataset.images import Data
from dau_lightning.evaluation.checks import chosen_samples, few_samples
from dau_lightning.evaluation.evaluator import Evaluator, Row
from dau_lightning.evaluation.fit_check import fit_warnings
from dau_lightning.evaluation.outputs_collector import OutputsCollector
from dau_lightning.evaluation.row_store import stored_row
from dau_lightning.run.announcement import announce
from dau_lightning.run.plan import Plan
from dau_lightning.run.requirements import check_reference, check_requirements
from dau_lightning.run.scores import scored_split
from dau_lightning.storage.run_folder import RunFolder
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.training import Callbacks, Configured, Mask, Method, Training

OTHER_RECIPE = "Retrain is trained by recipe.*, the original was not: differences of recipe count as distance"
NO_RETRAIN = "no Retrain (reference=off): the distance to a model that never saw the forget set is not known"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        split: the parts of the data.
        module: the method; its defender has the final weights.
        rows: the rows of the table, by kind of model.
        warnings: warnings about the whole run.
        start: facts about the weights from which the run started, for later requests.
    """

    split: Split
    module: UnlearningModule
    rows: dict[str, Row]
    warnings: list[str]
    start: dict[str, Any]


@dataclass
class Experiment:
    """The objects of one run.

    Attributes:
        names: the choices in `dataset`, `network`, `scheme`, `sparsity` and `baseline`.
        dataset: loads the official sets.
        scheme: marks the samples to forget.
        method: makes the unlearning module.
        attacks: metrics by name; `confidence` gives the column MIA.
        plan: the modes of the run.
        training: makes and trains the defenders.
        folder: the run folder.
        start: called with the hash of the split after all checks and before any training.
        figures: whether to keep the outputs that pictures need.
        trajectory_points: number of steps of the unlearning at which the model is measured; 0 for none.
    """

    names: Mapping[str, str]
    dataset: Callable[[], Data]
    scheme: Scheme
    method: Method
    attacks: Configured
    plan: Plan
    training: Training
    folder: RunFolder
    start: Callable[[str], None]
    figures: bool = False
    trajectory_points: int = 0

    def run(self) -> Outcome | None:
        """Train, unlearn and evaluate.

        Returns:
            The outcome; None in the processes of other devices than the first, which alone evaluates and writes files.

        Raises:
            InputError: a setting, a file or the data cannot be used; raised before any training.
            TrainingError: a loss is not finite.
        """
        training, plan = self.training, self.plan
        split, modules, warnings = self.prepared()
        launch(**vars(training.trainer_settings))
        if is_rank_zero():
            self.start(split.split_hash)
        self.announce(split, modules)
        method, attack, collector = modules[self.names["baseline"]], self.attacks.made["confidence"], None
        if self.figures and not plan.selection:  # a selection run uses no test images that TA counts
            collector = OutputsCollector(split, training.seed, training.transform, attack, self.trajectory_points)
        first_RA = plan.previous.first_RA if plan.previous else None
        evaluator = Evaluator(training, split, self.attacks, not plan.selection, plan.with_score, first_RA)
        mask, rows = training.mask(split, Original), dict[str, Row]()
        about = split.request
        warnings += few_samples(len(split.forget)) + copy_warnings(about) + chosen_samples(about, plan.with_score)
        for kind, module in modules.items():
            trained = self._train(kind, modules, split, mask, collector.watchers() if collector else [])
            if is_rank_zero():
                if collector:
                    collector.collect(kind, module.defender, training.device)
                evaluate = partial(stored_row, evaluator) if module.from_scratch else evaluator.row
                label = plan.start.label if plan.start and kind == "original" else module.label
                rows[kind] = {"label": label, **evaluate(module), **trained}
                warnings += self._warnings(evaluator, rows[kind], module) if kind == "original" else []
        if not is_rank_zero():
            return None
        evaluator.compare(rows)
        self._save_outputs(collector, rows)
        warnings += [] if plan.with_retrain or plan.selection else [NO_RETRAIN]
        start = {"source": plan.start.source, "saw_all": plan.start.trained_on_all} if plan.start else {"saw_all": False}
        start |= {"recipe": plan.recipe(training.recipe), "RA": rows["original"]["RA"] if first_RA is None else first_RA}
        return Outcome(split, method, rows, warnings, start)

    def prepared(self, may_train: bool = True) -> tuple[Split, dict[str, UnlearningModule], list[str]]:
        """The split, the modules by kind, and warnings, after all checks; errors: see `run`; `may_train`: see `run.scores`."""
        self.training.trainer([], self.training.devices)  # a missing accelerator is an error before any data is read
        data = self.dataset()
        split = scored_split(self.plan, self.training, self.scheme, data, self._modules, may_train)
        modules = self._modules(split)
        check_reference(self.plan, self.training, split, modules)
        if self.plan.start:
            print(self.plan.start.load_into(modules["original"].defender.network))
        return split, modules, self._fit(modules["original"], split, (data.turned, data.unturned))

    def announce(self, split: Split, modules: Mapping[str, UnlearningModule]) -> None:
        """Print what the run is about to do."""
        method = modules[self.names["baseline"]]
        steps = len(self.training.data(method, split).train_dataloader())
        announce(self.names, self.training, split, method.plan(steps, split))

    def _modules(self, split: Split) -> dict[str, UnlearningModule]:
        """The modules of the run by kind, in the order in which they are trained, after the checks of `requirements`."""
        training, plan = self.training, self.plan
        training.transform.check(split.train.first(1))
        modules = {"retrain": training.module(Retrain, split)} if plan.with_retrain else {}
        modules["original"] = training.module(Original, split)
        modules.setdefault(self.names["baseline"], training.module(self.method, split))
        check_requirements(plan, training, split, modules, self.attacks.made)
        return modules

    def _fit(self, original: UnlearningModule, split: Split, turned: tuple[int, int]) -> list[str]:
        """Warnings, printed before anything is done, about given weights that do not fit the images."""
        if not self.plan.start or self.plan.previous or not is_rank_zero():
            return []
        training = self.training
        found = fit_warnings(original.defender, split.train, training.transform, training.seed, training.device, turned)
        for warning in found:
            print(f"warning: {warning}")
        return found

    def _train(
        self, kind: str, modules: Mapping[str, UnlearningModule], split: Split, mask: Mask, watchers: Callbacks
    ) -> dict[str, Any]:
        """Train a module, or load its weights; return seconds and findings."""
        module = modules[kind]
        if self.plan.start and kind == "original":
            module.defender.set_mask(mask)
            return {"seconds": 0.0}
        if module.from_scratch:
            return self.training.from_scratch(module, split, mask)
        module.defender.load_state_dict(modules["original"].defender.state_dict())
        return self.training.unlearned(module, split, mask, watchers)

    def _save_outputs(self, collector: OutputsCollector | None, rows: Mapping[str, Row]) -> None:
        """Write the outputs that pictures need."""
        if collector:
            labels = {kind: row["label"] for kind, row in rows.items()}
            (metrics,) = (logger for logger in self.training.loggers if isinstance(logger, MetricsCSV))
            collector.save(self.folder.path, labels, self.names["baseline"], metrics.logged("dynamics"))

    def _warnings(self, evaluator: Evaluator, original: Row, module: UnlearningModule) -> list[str]:
        """Warnings about an original that this project did not train, printed before the run goes on with it."""
        plan, found = self.plan, list[str]()
        if plan.previous:
            earlier = plan.previous.result
            again = NO_RETRAIN, OTHER_RECIPE, *few_samples(earlier["counts"]["forget"]), *copy_warnings(earlier["request"])
            found = [text for text in earlier["warnings"] if text not in again]
        elif plan.start and (warning := evaluator.validation_set_was_trained_on(original, module)):
            found = [warning]
        if plan.with_retrain and plan.recipe(self.training.recipe) != self.training.recipe:
            found.append(OTHER_RECIPE)
        for warning in found:
            print(f"warning: {warning}")
        return found

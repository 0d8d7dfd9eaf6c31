"""The numbers of a run: a row for each model, what compares the rows, and reasons to trust them less."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from torchmetrics import Metric

from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split, emptied_share
from dau_lightning.evaluation.checks import row_warnings
from dau_lightning.evaluation.metrics_callback import MetricsCallback
from dau_lightning.metric.disparity import disparity, gaps, time_ratio
from dau_lightning.metric.selection import selection_score
from dau_lightning.sparsity.omp import measured_sparsity
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.training import Training

Row = dict[str, Any]


@dataclass
class Evaluator:
    """Evaluates models on the parts of a split, one after another.

    Attributes:
        training: makes the Trainer that tests.
        split: the parts.
        attacks: metrics by name; `confidence` gives the column MIA.
        with_test: look at test images.
        with_score: compute the selection score.
        first_RA: RA of the original of the first request, in percent; None in a first request.
    """

    training: Training
    split: Split
    attacks: Mapping[str, Metric]
    with_test: bool
    with_score: bool
    first_RA: float | None = None

    def row(self, module: UnlearningModule, watcher: L.Callback | None = None) -> Row:
        """Accuracies and attacks of a defender, in percent (EVALUATION, section 1).

        Args:
            module: holds the defender.
            watcher: sees the same test passes, with the val images among them.
        """
        tests = self._attack_parts()
        parts = ["retain", "forget", *(("test_retain", "test_forget") if self.with_test else ()), *(["val"] if watcher else [])]
        measured = self._measure(module, [*parts, "judge", "judge_nonmembers"], tests, [watcher] if watcher else [])
        accuracy = next(iter(measured.values())).accuracy()
        efficacy = {name: callback.efficacy() for name, callback in measured.items()}
        row = {
            "UA": 100 - accuracy["forget"],
            "MIA": next(iter(efficacy.values()))["confidence"],
            "RA": accuracy["retain"],
            "sparsity": measured_sparsity(module.defender.network),
        }
        if self.with_score:
            judges = {part: len(getattr(self.split, part)) for part in ("judge", "judge_nonmembers")}
            error = 100 - sum(accuracy[part] * count for part, count in judges.items() if count) / sum(judges.values())
            row |= {"judge_error": error, "judge_MIA": efficacy["judge_MIA"]["confidence"]}
        if self.with_test:
            row |= {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": efficacy["MIA"]}
            row |= {"outside_MIA": efficacy["outside_MIA"]["confidence"]} if self.with_score else {}
        return row

    def _attack_parts(self) -> dict[str, tuple[str, str]]:
        """For each column that comes of an attack: the nonmembers that it is fitted on, and the samples that it attacks."""
        by_test = {"MIA": ("test_retain", "forget")} if self.with_test else {}
        by_judges = {"outside_MIA": ("judge_nonmembers", "forget"), "judge_MIA": ("judge_nonmembers", "judge")}
        return by_test | (by_judges if self.with_score else {})

    def _measure(
        self,
        module: UnlearningModule,
        parts: list[str],
        attacked: Mapping[str, tuple[str, str]],
        watchers: list[L.Callback],
    ) -> dict[str, MetricsCallback]:
        """Test a module once on all parts that have samples; a callback for each attack, or one without attacks."""
        parts = [part for part in parts if len(getattr(self.split, part))]
        num_classes = len(self.split.train.class_names)
        callbacks = {
            name: MetricsCallback(
                parts, num_classes, self.attacks, {"retain": "member", nonmembers: "nonmember", target: "forget"}
            )
            for name, (nonmembers, target) in attacked.items()
        } or {"accuracy": MetricsCallback(parts, num_classes, {}, {})}
        data = UnlearningDataModule(self.split, self.training.transform, self.training.seed, evaluate=tuple(parts))
        self.training.trainer([*callbacks.values(), *watchers]).test(module, datamodule=data, verbose=False)
        return callbacks

    def compare(self, rows: dict[str, Row]) -> None:
        """Add to every row its gaps and disparity to Retrain, or its selection score, and its warnings."""
        emptied = emptied_share(self.split)
        for row in rows.values():
            if self.with_score:
                attacked = row | {"MIA": row.get("outside_MIA", row["MIA"])}
                row |= selection_score(attacked, rows["original"], emptied)
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row |= time_ratio(row, rows["retrain"])
        for name, found in row_warnings(rows, emptied, self.first_RA).items():
            rows[name]["flags"] = found

    def validation_set_was_trained_on(self, original: Row, module: UnlearningModule) -> str | None:
        """A warning where an original of unknown training classifies `D_v` as well as `D`, within one standard error."""
        split = self.split
        seen = (len(split.retain) * original["RA"] + len(split.forget) * (100 - original["UA"])) / len(split.train)
        (measured,) = self._measure(module, ["val"], {}, []).values()
        unseen = measured.accuracy()["val"]
        if unseen < seen - (seen * (100 - seen) / len(split.val)) ** 0.5:
            return None
        return (
            f"accuracy on D_v ({unseen:.1f}) is as high as on D ({seen:.1f}): the original seems to have been trained on D_v; "
            "if it was, neither the game nor the numbers mean anything: give images that it never saw"
        )

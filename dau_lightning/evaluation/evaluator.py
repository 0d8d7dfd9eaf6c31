"""Evaluates the models of a run: a row of numbers for each, its distance to Retrain or its selection score, and warnings."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from dau_lightning.base.error import require
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split, emptied_share
from dau_lightning.evaluation.checks import row_warnings, with_finite_numbers
from dau_lightning.evaluation.fit_check import trained_accuracy
from dau_lightning.evaluation.metrics_callback import Measure, MetricsCallback
from dau_lightning.metric.auc import AUC
from dau_lightning.metric.disparity import disparity, gaps, time_ratio
from dau_lightning.metric.selection import selection_score
from dau_lightning.metric.svm_attack import DRAWS
from dau_lightning.sparsity.omp import measured_sparsity
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.training import Configured, Training

Row = dict[str, Any]


@dataclass
class Evaluator:
    """Evaluates models on the parts of a split, one after another.

    Attributes:
        training: makes Lightning's Trainer for the tests.
        split: the parts to evaluate on.
        attacks: metrics by name; `confidence` gives the column MIA.
        with_test: whether to evaluate on the test images that TA counts; those of `val_from_test` are `D_v`.
        with_score: whether to compute the selection score, on the parts `judge` and `judge_nonmembers` (`metric.selection`).
        first_RA: RA of the original of the first request, in percent; None in a first request.
    """

    training: Training
    split: Split
    attacks: Configured
    with_test: bool
    with_score: bool
    first_RA: float | None = None

    def row(self, module: UnlearningModule) -> Row:
        """Accuracies and attacks of a module's defender, in percent; with a backdoor in `D`, the trigger rate too.

        Raises:
            InputError: the attack that gives the column MIA, a user's own, gives no finite share.
        """
        tests = ("test_retain", "test_forget") if self.with_test else ()
        shown = ("triggered",) if self.split.triggered else ()
        callback = self._measure(module, ["retain", "forget", *tests, *shown, "judge", "judge_nonmembers"], self._measures())
        accuracy, found = callback.accuracy(), callback.measured()
        row = {"UA": 100 - accuracy["forget"], "RA": accuracy["retain"]}
        row |= {"trigger_rate": accuracy["triggered"]} if shown else {}
        row["sparsity"] = measured_sparsity(module.defender.network)
        if self.with_score:
            judges = {part: len(getattr(self.split, part)) for part in ("judge", "judge_nonmembers")}
            error = 100 - sum(accuracy[part] * count for part, count in judges.items() if count) / sum(judges.values())
            row |= {"judge_error": error, "judge_MIA": found["judge/confidence"].efficacy}
            row |= {"judge_AUC": found["judge/AUC"] and found["judge/AUC"][0]}
        if self.with_test:
            attacks = {name: found[f"test/{name}"].efficacy for name in self.attacks.made}
            row |= {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": attacks}
            row |= {"outside_MIA": found["outside/confidence"].efficacy} if self.with_score else {}
        which = "test" if self.with_test else "outside"
        draws, area = found[f"{which}/confidence"], found["test/AUC" if self.with_test else "judge/AUC"]
        require(isfinite(draws.efficacy), f"metric.confidence must give a finite share, the column MIA; got {draws.efficacy}")
        told = {"range": [draws.lowest, draws.highest], "draws": DRAWS, "voided": draws.voided}
        row |= {"MIA": draws.efficacy, "MIA_draws": told}
        return row | (dict(zip(("AUC", "AUC_error"), area, strict=True)) if area else {"AUC": None})

    def _measures(self) -> dict[str, Measure]:
        """The attacks and the AUC, named `WHERE/NAME`, each with the role of every part in it.

        `test` attacks the forget set, with test images as nonmembers. For the selection score, `outside` attacks the forget
        set with `judge_nonmembers` as nonmembers, so without test images, and `judge` attacks `judge` with the same
        nonmembers: images never seen, which an unlearned forget set should resemble. If the labels of the forget set are
        wrong, so are those with which `judge` is attacked.
        """
        fitted_on = {"test": ("test_retain", "forget")} if self.with_test else {}
        unseen = {"test": ("test_retain", "test_forget")} if self.with_test else {}
        if self.with_score:
            fitted_on |= {"outside": ("judge_nonmembers", "forget"), "judge": ("judge_nonmembers", "judge")}
            unseen |= {"judge": ("judge", "judge_nonmembers")}
        relabelled = {"judge"} if self.split.wrong_labels else set[str]()
        attacks = {
            f"{where}/{name}": Measure(attack, {"retain": "member", nonmembers: "nonmember", target: "forget"}, relabelled)
            for where, (nonmembers, target) in fitted_on.items()
            for name, attack in self.attacks.made.items()
            if where == "test" or name == "confidence"
        }
        areas = {
            f"{where}/AUC": Measure(AUC(), {"forget": "forget", **dict.fromkeys(parts, "unseen")})
            for where, parts in unseen.items()
        }
        return attacks | areas

    def _measure(self, module: UnlearningModule, parts: list[str], measures: Mapping[str, Measure]) -> MetricsCallback:
        """Run a module once over every part that has samples."""
        parts = [part for part in parts if len(getattr(self.split, part))]
        callback = MetricsCallback(parts, len(self.split.train.class_names), measures)
        data = UnlearningDataModule(self.split, self.training.transform, self.training.seed, evaluate=tuple(parts))
        self.training.trainer([callback]).test(module, datamodule=data, verbose=False)
        return callback

    def compare(self, rows: dict[str, Row]) -> None:
        """Add to every row its gaps and disparity to Retrain, or its selection score, and its warnings."""
        emptied = emptied_share(self.split)
        others = len(self.split.train.class_names) - 1 if self.split.wrong_labels else 0
        for row in rows.values():
            if self.with_score:
                attacked = row | {"MIA": row.get("outside_MIA", row["MIA"])}
                row |= selection_score(attacked, rows["original"], emptied, others)
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row |= time_ratio(row, rows["retrain"])
                if row["AUC"] is not None and rows["retrain"]["AUC"] is not None:
                    row["AUC_gap"] = abs(row["AUC"] - rows["retrain"]["AUC"])
        about = self.split.wrong_labels, self.split.chosen
        for name, found in row_warnings(rows, emptied, self.first_RA, *about).items():
            rows[name] = with_finite_numbers(rows[name]) | {"flags": found}

    def validation_set_was_trained_on(self, original: Row, module: UnlearningModule) -> str | None:
        """A warning if the original classifies `D_v` as well as `D`, within one standard error, and `D` well; else None.

        For an original that was trained elsewhere: it may have been trained on `D_v`.
        """
        split = self.split
        seen = (len(split.retain) * original["RA"] + len(split.forget) * (100 - original["UA"])) / len(split.train)
        if seen < trained_accuracy(len(split.train.class_names)):
            return None
        unseen = self._measure(module, ["val"], {}).accuracy()["val"]
        if unseen < seen - (seen * (100 - seen) / len(split.val)) ** 0.5:
            return None
        return (
            f"accuracy on D_v ({unseen:.1f}) is as high as on D ({seen:.1f}): the original seems to have been trained on D_v; "
            "if it was, neither the game nor the numbers mean anything: give images that it never saw"
        )

"""The numbers of a run: a row a model, what compares the rows, and reasons to trust them less."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torchmetrics import Metric

from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split, emptied_share
from dau_lightning.evaluation.checks import flags
from dau_lightning.evaluation.metrics_callback import MetricsCallback
from dau_lightning.evaluation.outputs_collector import OutputsCollector
from dau_lightning.metric.disparity import disparity, gaps, time_ratio
from dau_lightning.metric.selection import selection_score
from dau_lightning.sparsity.omp import measured_sparsity
from dau_lightning.storage.run_folder import evaluated
from dau_lightning.storage.seal import tensors_digest
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.trainer import Training

Row = dict[str, Any]


@dataclass
class Judge:
    """Judges models on the parts of a split, one after another.

    Attributes:
        training: of the run; its Trainer tests.
        split: the parts.
        attacks: metrics by name; `confidence` gives the column MIA.
        selection: by the selection score alone, without test data.
        scored: by the selection score, too: there is no Retrain.
        witness: takes what pictures need; None where there are none.
        first_RA: of the original of the first request, where this is a later one.
    """

    training: Training
    split: Split
    attacks: Mapping[str, Metric]
    selection: bool
    scored: bool
    witness: OutputsCollector | None
    first_RA: float | None = None

    def row(self, kind: str, module: UnlearningModule) -> Row:
        """The numbers of a model, evaluated now or before this run was killed."""
        if self.witness:
            self.witness.collect(kind, module.defender, self.training.device)
        key = f"{self.split.split_hash} {tensors_digest(module.defender.network.state_dict())}"
        return evaluated(self.training.folder, key, partial(self._evaluate, module))

    def _evaluate(self, module: UnlearningModule) -> Row:
        """Accuracies and attacks of a defender, as in EVALUATION section 1."""
        split, tested = self.split, () if self.selection else ("test_retain", "test_forget")
        parts = ["retain", "forget", *tested, "judge", "outside"]
        parts = [part for part in parts if len(getattr(split, part))]
        attacked = [] if self.selection else [("test_retain", "forget")]  # nonmembers to fit on, and what is attacked
        attacked += [("outside", "forget"), ("outside", "judge")] if self.selection or self.scored else []
        evaluations = [
            MetricsCallback(
                parts,
                len(split.train.class_names),
                self.attacks,
                {"retain": "member", nonmembers: "nonmember", target: "forget"},
            )
            for nonmembers, target in attacked
        ]
        data = UnlearningDataModule(split, self.training.transform, self.training.seed, evaluate=tuple(parts))
        self.training.trainer(evaluations).test(module, datamodule=data, verbose=False)
        accuracy, efficacy = evaluations[0].accuracy(), evaluations[0].efficacy()
        row = {"UA": 100 - accuracy["forget"], "MIA": efficacy["confidence"], "RA": accuracy["retain"]}
        row["sparsity"] = measured_sparsity(module.defender.network)
        if self.selection or self.scored:
            judges = len(split.judge), len(split.outside)
            error = 100 - (judges[0] * accuracy["judge"] + judges[1] * accuracy["outside"]) / sum(judges)
            row |= {"judge_error": error, "judge_MIA": evaluations[-1].efficacy()["confidence"]}
        if self.scored:
            row["outside_MIA"] = evaluations[1].efficacy()["confidence"]
        return (
            row
            if self.selection
            else row | {"TA": accuracy["test_retain"], "TA_forgotten": accuracy.get("test_forget"), "attacks": efficacy}
        )

    def compare(self, rows: dict[str, Row]) -> None:
        """Add gaps and disparity to Retrain, or the selection score, and what is wrong with a row."""
        emptied = emptied_share(self.split)
        for row in rows.values():
            if self.selection or self.scored:
                attacked = row | {"MIA": row.get("outside_MIA", row["MIA"])}
                row |= selection_score(attacked, rows["original"], emptied)
            elif "retrain" in rows:
                row |= {"gaps": gaps(row, rows["retrain"]), "disparity": disparity(row, rows["retrain"])}
                row |= time_ratio(row, rows["retrain"])
        for name, found in flags(rows, emptied, self.first_RA).items():
            rows[name]["flags"] = found

    def looks_seen(self, original: Row, module: UnlearningModule) -> str | None:
        """Words for a `D_v` that an original of unknown training classifies as well as `D`; None for one that it does not."""
        split = self.split
        seen = (len(split.retain) * original["RA"] + len(split.forget) * (100 - original["UA"])) / len(split.train)
        evaluation = MetricsCallback(["val"], len(split.train.class_names), {}, {})
        data = UnlearningDataModule(split, self.training.transform, self.training.seed, evaluate=("val",))
        self.training.trainer([evaluation]).test(module, datamodule=data, verbose=False)
        unseen = evaluation.accuracy()["val"]
        if unseen < seen - (seen * (100 - seen) / len(split.val)) ** 0.5:  # by more than one standard error
            return None
        return (
            f"accuracy on D_v ({unseen:.1f}) is as high as on D ({seen:.1f}): D_v looks trained on; if it was, neither "
            "the game nor the evidence means anything"
        )

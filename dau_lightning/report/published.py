"""The numbers that the paper prints, Tables 1 and 2 of arXiv 2402.06864, for rows of the paper's own settings.

Cells that are damaged or missing in the text are empty. Run times are printed once a method; they stand with the dense rows.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from dau_lightning.metric.disparity import COLUMNS, disparity

SPARSITIES = {"dense": "dense", "95% sparse": "0.95"}

# Sections 4.2 and 4.3, as far as they are printed there or in the protocol that they follow (Jia et al. 2023).
SCHEMES: dict[str, dict[str, Any]] = {"random": {"fraction": 0.1}, "classwise": {}}
RECIPE = {"epochs": 182, "batch_size": 256, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "milestones": [91, 136]}
REWIND_EPOCHS = 8
METHODS: dict[str, dict[str, Any]] = {
    "finetune": {"epochs": 10, "lr": 0.01},
    "gradient_ascent": {"epochs": 5},
    "dau": {
        "adversarial_weight": 0.9,
        "pretraining_steps": 1000,
        "pairing": "random",
        "term": {},
        "sensitivity.copies": 10,
        "objective._target_": "dau_lightning.game.objective.MinMax",
        "attacker._target_": "dau_lightning.game.attacker.Attacker",
        "penalty._target_": "dau_lightning.game.penalty.none",
        "projector._target_": "torch.nn.Identity",
    },
}
REGULARISER = {
    "regulariser_weight": 1e-3,
    "regulariser._target_": "dau_lightning.game.regulariser.redundancy_reduction",
    "regulariser.off_diagonal_weight": 5e-3,
}
LR = {("random", "dense"): 0.01, ("random", "95% sparse"): 0.03}  # of DAU; class-wise 0.02
CLASSWISE_LR = 0.02
ADVERSARIAL_STEPS = {"random": None, "classwise": 30}
ASCENT_LR = 1e-4  # of GA, class-wise on CIFAR-10; otherwise a grid, whose choice is not printed

Number = tuple[float, float | None]  # mean and standard deviation over five seeds


@cache
def table(dataset: str, scheme: str, sparsity: str) -> dict[str, dict[str, str]]:
    """The rows of one cell of the paper's tables by kind, as they stand in the file; none where the paper has none."""
    lines = (files("dau_lightning.report") / "published.csv").read_text(encoding="utf-8").splitlines()
    return {
        row["kind"]: row
        for row in csv.DictReader(lines)
        if (row["dataset"], row["scheme"], row["sparsity"]) == (dataset, scheme, sparsity)
    }


def cell(result: Mapping[str, Any], sparsity: str) -> dict[str, dict[str, str]]:
    """The paper's rows for a run's data, network, recipe and scheme; none where these are not the paper's.

    Args:
        result: of a run.
        sparsity: in words, `dense` or `95% sparse`.
    """
    settings, scheme = result["settings"], result["scheme"]
    if result["network"] != "resnet18" or sparsity not in SPARSITIES or scheme not in SCHEMES:
        return {}
    wanted = [("recipe", RECIPE), ("scheme", SCHEMES[scheme]), ("dataset", {"train_limit": None, "test_limit": None})]
    if sparsity != "dense":
        wanted.append(("sparsity", {"rewind_epochs": REWIND_EPOCHS}))
    same = all(_matches(settings.get(name, {}), values) for name, values in wanted)
    return table(result["dataset"], scheme, SPARSITIES[sparsity]) if same else {}


def printed_kind(result: Mapping[str, Any], sparsity: str, kind: str) -> str | None:
    """Under which name the paper has a row of a run; None where the method's settings are not the paper's.

    DAU without its regulariser is a row of Table 2, however it is switched off.
    """
    if kind != result["baseline"] or kind in ("retrain", "original"):
        return kind
    method, scheme = result["settings"]["baseline"], result["scheme"]
    wanted = dict(METHODS.get(kind, {}))
    if kind == "gradient_ascent" and (result["dataset"], scheme) == ("cifar10", "classwise"):
        wanted["lr"] = ASCENT_LR
    if kind == "dau":
        wanted |= {"lr": LR.get((scheme, sparsity), CLASSWISE_LR), "adversarial_steps": ADVERSARIAL_STEPS[scheme]}
        off = method.get("regulariser_weight") == 0 or _at(method, "regulariser._target_").endswith(".NoRegulariser")
        kind = "dau_without_regulariser" if off else kind
        wanted |= {} if off else REGULARISER
    return kind if _matches(method, wanted) else None


def _matches(node: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_at(node, name) == value for name, value in wanted.items())


def _at(node: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; empty text where there is none."""
    found: Any = node
    for part in name.split("."):
        found = found.get(part, "") if isinstance(found, Mapping) else ""
    return found


def numbers(rows: Mapping[str, Mapping[str, str]], kind: str | None) -> dict[str, Number]:
    """What the paper says about a row: UA, MIA, RA, TA in percent, disparity recomputed from its row, minutes, speed-up.

    Args:
        rows: of a cell of the paper.
        kind: see `printed_kind`.
    """
    if kind is None or (row := rows.get(kind)) is None:
        return {}
    retrain = rows["retrain"]
    found: dict[str, Number] = {
        column: (float(row[column]), float(row[f"{column}_std"]) if row[f"{column}_std"] else None)
        for column in COLUMNS
        if row[column]
    }
    if len(found) == len(COLUMNS):
        found["disparity"] = disparity(*({name: float(each[name]) for name in COLUMNS} for each in (row, retrain))), None
    if row["minutes"]:
        found["minutes"] = float(row["minutes"]), None
        found["speed-up"] = float(retrain["minutes"]) / float(row["minutes"]), None
    return found

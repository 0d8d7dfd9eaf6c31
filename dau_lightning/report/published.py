"""The numbers that the paper prints, Tables 1 and 2 of arXiv 2402.06864, for rows of the paper's own settings.

Cells that are damaged or missing in the text are empty. Run times are printed once a method; they stand with the dense rows.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from dau_lightning.metric.disparity import COLUMNS, disparity

SETTINGS = {"random": {"fraction": 0.1}, "classwise": {}}  # section 4.3
SPARSITIES = {"dense": "dense", "95% sparse": "0.95"}

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
    """The paper's rows for a run's setting; none where the setting is not the paper's.

    Args:
        result: of a run.
        sparsity: in words, `dense` or `95% sparse`.
    """
    settings, scheme = result["settings"], result["scheme"]
    ours = settings.get("scheme", {})
    same = (
        result["network"] == "resnet18"
        and sparsity in SPARSITIES
        and scheme in SETTINGS
        and all(ours.get(name) == value for name, value in SETTINGS[scheme].items())
        and all(settings.get("dataset", {}).get(limit) is None for limit in ("train_limit", "test_limit"))
    )
    return table(result["dataset"], scheme, SPARSITIES[sparsity]) if same else {}


def numbers(rows: Mapping[str, Mapping[str, str]], kind: str, baseline: Mapping[str, Any]) -> dict[str, Number]:
    """What the paper says about a row: UA, MIA, RA, TA in percent, disparity recomputed from its row, minutes, speed-up.

    Args:
        rows: of a cell of the paper.
        kind: `retrain`, `dau`, `finetune` ...; DAU without its regulariser is a row of Table 2.
        baseline: the settings of the row.
    """
    if kind == "dau" and baseline.get("regulariser_weight") == 0:
        kind = "dau_without_regulariser"
    if (row := rows.get(kind)) is None:
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

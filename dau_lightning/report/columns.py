"""The columns of the tables. To add one, put its number into the row, then add a line to `COLUMNS`.

`Evaluator.row`, `UnlearningModule.findings` or `report/rows.py` makes the row. Tables, page and CSV show each column; the model
card shows the families `accuracy`, `score`, `disparity` and `attack` only.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dau_lightning.base.nested import flatten

AUDIT = "audit_"  # prefix of the column of a test in an audit: `audit_rmia`
ATTACK = "attack_"  # prefix of the column of an attack that a run has: `attack_entropy`


class Column(NamedTuple):
    """A column.

    Attributes:
        name: in the DataFrame of rows. The CSV has `{name}_mean` and `{name}_std`.
        heading: in the tables.
        family: columns of one family stand together.
        meaning: what the number is, with its unit: the tooltip of the page.
        key: dotted path of the number in a row of `result.json`; None: `name` itself, or `rows.py` or `summary.py` computes it.
        decimals: how many are printed.
        noted: whether the meaning also stands below the tables.
    """

    name: str
    heading: str
    family: str
    meaning: str
    key: str | None = None
    decimals: int = 2
    noted: bool = False


COLUMNS = {
    column.name: column
    for column in (
        Column("UA", "UA", "accuracy", "100 - accuracy on the forget set, percent"),
        Column("MIA", "MIA", "accuracy", "share of the forget set that the attack calls never seen, percent"),
        Column("RA", "RA", "accuracy", "accuracy on the retain set, percent"),
        Column("TA", "TA", "accuracy", "accuracy on test images of retained classes, percent"),
        Column("AUC", "AUC", "accuracy", "how well the confidence tells forgotten from unseen images, percent; 50: not at all"),
        Column(
            "trigger_rate",
            "trigger_rate",
            "accuracy",
            "share of unseen images of other classes that, with the backdoor's trigger, get the trigger's class, percent",
            noted=True,
        ),
        Column("judge_error", "judge_error", "score", "error on the held-out validation images, percent"),
        Column(
            "judge_MIA",
            "judge_MIA",
            "score",
            "share of the held-out validation images that the attack calls never seen, percent",
        ),
        Column("judge_AUC", "judge_AUC", "score", "AUC of the forget set against the held-out validation images, percent"),
        Column("score", "score", "score", "the selection score, which needs no Retrain; lower is better", noted=True),
        Column("disparity", "disparity", "disparity", "mean of the distances ΔUA, ΔMIA, ΔRA, ΔTA; lower is better", noted=True),
        Column(
            "disparity_of_means",
            "of means",
            "disparity",
            "disparity computed from the mean UA, MIA, RA and TA over seeds",
            noted=True,
        ),
        Column("paper_disparity", "paper disparity", "disparity", "disparity of the paper's printed means"),
        Column("seconds", "seconds", "time", "run time of the method without evaluation and pictures"),
        Column("time_ratio", "time_ratio", "time", "run time divided by Retrain's", decimals=3),
        Column("speed_up", "speed-up", "time", "Retrain's run time divided by that of the method"),
        Column("paper_speed_up", "paper speed-up", "time", "speed-up by the paper's printed minutes"),
        Column("gap_UA", "ΔUA", "details", "distance of UA to Retrain's, percentage points; ΔMIA, ΔRA, ΔTA alike", noted=True),
        Column("gap_MIA", "ΔMIA", "details", "distance of MIA to Retrain's, percentage points"),
        Column("gap_RA", "ΔRA", "details", "distance of RA to Retrain's, percentage points"),
        Column("gap_TA", "ΔTA", "details", "distance of TA to Retrain's, percentage points"),
        Column("AUC_gap", "ΔAUC", "details", "distance of AUC to Retrain's, percentage points"),
        Column("TA_forgotten", "TA_forgotten", "details", "test accuracy on the forgotten classes, percent", noted=True),
        Column("zeros", "zeros", "details", "share of convolution weights that are zero, percent", key="sparsity", noted=True),
        Column("paper_UA", "paper UA", "paper", "UA in arXiv 2402.06864, five seeds, percent", noted=True),
        Column("paper_MIA", "paper MIA", "paper", "MIA in arXiv 2402.06864, five seeds, percent"),
        Column("paper_RA", "paper RA", "paper", "RA in arXiv 2402.06864, five seeds, percent"),
        Column("paper_TA", "paper TA", "paper", "TA in arXiv 2402.06864, five seeds, percent"),
        Column("paper_minutes", "paper minutes", "paper", "run time in arXiv 2402.06864 on one RTX A6000", noted=True),
    )
}


def column(name: str) -> Column:
    """Return the column of this name; the name may be an attack's or an audit test's.

    Raises:
        KeyError: there is no such column.
    """
    if name.startswith(AUDIT):
        return Column(name, name.removeprefix(AUDIT), "audit", "result of this test of the audit, see docs/audit.md")
    if name.startswith(ATTACK):
        meaning = "share of the forget set that this attack calls never seen, percent"
        return Column(name, name.removeprefix(ATTACK), "attack", meaning)
    return COLUMNS[name]


def ordered(names: Iterable[str]) -> list[str]:
    """Return the names that are columns, in the order of the tables, attacks last, without `_mean` and `_std`.

    >>> ordered(["seed", "attack_entropy_std", "attack_entropy_mean", "TA_mean", "UA"])
    ['UA', 'TA', 'attack_entropy']
    """
    found = dict.fromkeys(name.removesuffix("_mean").removesuffix("_std") for name in names)
    return [name for name in COLUMNS if name in found] + [name for name in found if name.startswith((AUDIT, ATTACK))]


def values_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a row of `result.json` by the name of their column."""
    found = {ATTACK + name: value for name, value in row.get("attacks", {}).items()}
    flat = flatten(row, ".")
    found |= {name: flat.get(column.key or name) for name, column in COLUMNS.items()}
    return {name: value for name, value in found.items() if value is not None}

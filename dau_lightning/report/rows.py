"""AttackerInputs over seeds, as numbers: means, deviations, and the distance to Retrain."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import mean, stdev
from typing import Any, NamedTuple

from dau_lightning.metric.disparity import COLUMNS, disparity, gaps, time_ratio

GAPS = tuple(f"Δ{column}" for column in COLUMNS)
SCORE = ("judge_error", "judge_MIA", "score")  # beside TA where there is no Retrain
SELECTION_COLUMNS = ("UA", "MIA", "RA", *SCORE)
PLAIN = (*COLUMNS, "TA_forgotten", *SCORE, "seconds")
KINDS = ("retrain", "retrain_again", "original", "finetune", "gradient_ascent", "fisher", "influence")

Row = Mapping[str, Any]


class Spread(NamedTuple):
    """Mean and sample standard deviation over seeds; no deviation of a single number."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some numbers.

        >>> Spread.of([1.0, 3.0])
        Spread(mean=2.0, std=1.4142135623730951)
        """
        return cls(mean(values), stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Line:
    """A row of a table: one method with one choice of settings, over seeds.

    Attributes:
        name: to print.
        kind: `retrain`, `original` or the name of the method.
        seeds: that it was run with.
        spreads: by column; `paper ...` are the paper's numbers, `attack ...` the efficacies of the attacks.
        flags: what is wrong with some of its runs, see `flag`, with their seeds.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    spreads: Mapping[str, Spread]
    flags: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """AttackerInputs of one dataset, network and scheme, by sparsity (dense first) and name.

    Attributes:
        names: of dataset, network and scheme.
        selection: whether these are runs judged by the selection score.
        cells: lines by name for every sparsity.
        warnings: of whole runs, with their seeds.
    """

    names: tuple[str, str, str]
    selection: bool
    cells: Mapping[str, Mapping[str, Line]]
    warnings: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def lines(self) -> dict[str, str]:
        """Kinds by name of all lines, in the order of a table: references, then baselines, DAU last."""
        kinds = {line.name: line.kind for lines in self.cells.values() for line in lines.values()}
        return dict(sorted(kinds.items(), key=lambda item: (_rank(item[1]), item[0])))


def spreads(rows: Mapping[int, Row], retrain: Mapping[int, Row]) -> dict[str, Spread]:
    """Spreads by column of one row over seeds, each seed against the Retrain of that seed.

    Args:
        rows: by seed, as in `result.json`.
        retrain: the same of Retrain; a seed that is not there counts for no distance.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for seed, row in rows.items():
        for column, value in _flat(row, retrain.get(seed)).items():
            values[column].append(value)
    found = {column: Spread.of(numbers) for column, numbers in values.items()}
    if shared := [seed for seed in rows if seed in retrain]:
        means = [{column: mean(each[seed][column] for seed in shared) for column in COLUMNS} for each in (rows, retrain)]
        found["of means"] = Spread(disparity(*means), None)
    return found


def _flat(row: Row, retrain: Row | None) -> dict[str, float]:
    """All numbers of a row by column."""
    flat = {column: row[column] for column in PLAIN if row.get(column) is not None}
    flat |= {f"attack {name}": efficacy for name, efficacy in row.get("attacks", {}).items()}
    if row.get("sparsity") is not None:
        flat["zeros"] = row["sparsity"]
    if retrain:
        flat |= {f"Δ{column}": gap for column, gap in gaps(row, retrain).items()}
        flat |= {"disparity": disparity(row, retrain), **time_ratio(row, retrain)}
        if flat.get("time_ratio"):
            flat["speed-up"] = 1 / flat["time_ratio"]
    return flat


def _rank(kind: str) -> int:
    """Place of a kind in a table: those with a place, then unknown methods, then DAU."""
    return KINDS.index(kind) if kind in KINDS else len(KINDS) + (kind == "dau")

"""Rows over seeds, as numbers: reads the results of runs, refuses what cannot share a table, and does the arithmetic."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev
from typing import Any, NamedTuple

from dau_lightning.error import InputError
from dau_lightning.metric.disparity import COLUMNS, disparity, gaps
from dau_lightning.report import published
from dau_lightning.report.read import Run

GAPS = tuple(f"Δ{column}" for column in COLUMNS)
SELECTION_COLUMNS = ("UA", "MIA", "RA", "judge_error", "judge_MIA", "score")
PLAIN = (*COLUMNS, "TA_forgotten", *SELECTION_COLUMNS[3:], "seconds")
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
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    spreads: Mapping[str, Spread]


@dataclass(frozen=True)
class Group:
    """Rows of one dataset, network and scheme, by sparsity (dense first) and name.

    Attributes:
        names: of dataset, network and scheme.
        selection: whether these are runs judged by the selection score.
        cells: lines by name for every sparsity.
    """

    names: tuple[str, str, str]
    selection: bool
    cells: Mapping[str, Mapping[str, Line]]

    @cached_property
    def lines(self) -> dict[str, str]:
        """Kinds by name of all lines, in the order of a table: references, then baselines, DAU last."""
        kinds = {line.name: line.kind for lines in self.cells.values() for line in lines.values()}
        return dict(sorted(kinds.items(), key=lambda item: (_rank(item[1]), item[0])))


def groups(runs: Iterable[Run], seeds: Sequence[int] | None = None) -> list[Group]:
    """The rows over seeds of finished runs.

    Runs of one method with different settings are rows of their own, named by what differs.

    Args:
        runs: finished ones.
        seeds: to which the rows are restricted; None takes all.

    Raises:
        InputError: runs that cannot share a table; a row without some of the seeds; no run with one of them.
    """
    members: dict[tuple[bool, str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        members[run.selection, *run.names].append(run)
    made = [_group(beside, seeds) for _, beside in sorted(members.items())]
    if not (made := [group for group in made if group.cells]):
        raise InputError(f"--seeds must name seeds of finished runs, got {_listed(seeds or ())}")
    return made


def _group(runs: Sequence[Run], wanted: Sequence[int] | None) -> Group:
    _check_splits(runs)
    cells: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.amount or 0, run.sparsity)):
        cells[run.sparsity].append(run)
    varied: dict[str, set[str]] = defaultdict(set)  # by method, in any sparsity, so that rows beside each other have one name
    for beside in cells.values():
        _check_surroundings(beside)
        for run in beside:
            for other in beside:
                if run.baseline == other.baseline:
                    varied[run.baseline] |= {key for key, _ in run.method.items() ^ other.method.items()}
    rows = {sparsity: _rows(beside, varied) for sparsity, beside in cells.items()}
    selection = runs[0].selection
    if not selection:
        _check_seeds(rows, wanted, ", ".join(runs[0].names))
    lines: dict[str, dict[str, Line]] = {}
    for sparsity, by_name in rows.items():
        for (name, kind), by_seed in by_name.items():
            kept = {seed: by_seed[seed] for seed in sorted(by_seed) if wanted is None or seed in wanted}
            if kept:
                retrain = {} if selection else by_name.get(("Retrain", "retrain"), {})
                spreads = _spreads({seed: row for seed, (row, _) in kept.items()}, {s: row for s, (row, _) in retrain.items()})
                run = next(iter(kept.values()))[1]
                if run.amount is None:
                    spreads.pop("zeros", None)
                paper = {} if selection else published.numbers(published.cell(run.result, run.amount), kind, run.settings)
                spreads |= {f"paper {column}": Spread(*number) for column, number in paper.items()}
                lines.setdefault(sparsity, {})[name] = Line(name, kind, tuple(kept), spreads)
    return Group(runs[0].names, selection, lines)


def _check_splits(runs: Sequence[Run]) -> None:
    first: dict[int, Run] = {}
    for run in runs:
        other = first.setdefault(run.seed, run)
        if run.result["split_hash"] != other.result["split_hash"]:
            raise InputError(f"{run.folder} and {other.folder} have one seed and different splits: they cannot share a table")


def _check_surroundings(runs: Sequence[Run]) -> None:
    """What the hash of a split cannot tell of runs with different seeds."""
    ours = runs[0].surroundings
    for run in runs:
        for name, value in run.surroundings.items():
            if ours.get(name, value) != value:
                raise InputError(
                    f"{runs[0].folder} and {run.folder} have {name}={ours[name]} and {name}={value}: they cannot share a table"
                )


def _rows(runs: Sequence[Run], varied: Mapping[str, set[str]]) -> dict[tuple[str, str], dict[int, tuple[Row, Run]]]:
    """Rows of one cell by (name, kind) and seed; the same original and Retrain stand in the runs of every method."""
    rows: dict[tuple[str, str], dict[int, tuple[Row, Run]]] = {}
    for run in runs:
        for kind, row in run.result["rows"].items():
            own = kind == run.baseline and kind not in ("retrain", "original")
            differing = [f"{key}={run.method.get(key)}" for key in sorted(varied[run.baseline])] if own else []
            name = " ".join([row["label"], *differing])
            before, other = rows.setdefault((name, kind), {}).setdefault(run.seed, (row, run))
            if own and other is not run:
                pair = f"{run.folder} and {other.folder}"
                raise InputError(f"{pair} are two runs of {name} with seed {run.seed}: give one of them")
            if any(before.get(column) != row.get(column) for column in COLUMNS):
                raise InputError(
                    f"{name} with seed {run.seed} has other numbers in {run.folder} than in {other.folder}: "
                    "recipe, network or precision differ; give runs of one recipe"
                )
    return rows


def _check_seeds(rows: Mapping[str, Mapping[tuple[str, str], Iterable[int]]], wanted: Sequence[int] | None, names: str) -> None:
    """Means over different seeds are no comparison."""
    found = {(sparsity, name): set(seeds) for sparsity, lines in rows.items() for (name, _), seeds in lines.items()}
    asked = set().union(*found.values()) if wanted is None else set(wanted)
    if not asked & set().union(*found.values()):
        return  # this group has none of them, and no table
    for (sparsity, name), seeds in found.items():
        if missing := asked - seeds:
            shared = set.intersection(*found.values())
            advice = f"or give --seeds {_listed(shared)}, which all have" if shared else "or give folders of one set of seeds"
            raise InputError(f"{name} of {names}, {sparsity}, misses seed {_listed(missing)}: run it, {advice}")


def _spreads(rows: Mapping[int, Row], retrain: Mapping[int, Row]) -> dict[str, Spread]:
    """Spreads by column of one row over seeds, each seed against the Retrain of that seed."""
    values: dict[str, list[float]] = defaultdict(list)
    for seed, row in rows.items():
        flat = {column: row[column] for column in PLAIN if row.get(column) is not None}
        flat |= {f"attack {name}": efficacy for name, efficacy in row.get("attacks", {}).items()}
        if row.get("sparsity") is not None:
            flat["zeros"] = row["sparsity"]
        if reference := retrain.get(seed):
            flat |= {f"Δ{column}": gap for column, gap in gaps(row, reference).items()}
            flat["disparity"] = disparity(row, reference)
            flat["time_ratio"] = row["seconds"] / reference["seconds"]
            if row["seconds"]:
                flat["speed-up"] = reference["seconds"] / row["seconds"]
        for column, value in flat.items():
            values[column].append(value)
    spreads = {column: Spread.of(numbers) for column, numbers in values.items()}
    if shared := [seed for seed in rows if seed in retrain]:
        means = [{column: mean(each[seed][column] for seed in shared) for column in COLUMNS} for each in (rows, retrain)]
        spreads["of means"] = Spread(disparity(*means), None)
    return spreads


def _rank(kind: str) -> int:
    """Place of a kind in a table: those with a place, then unknown methods, then DAU."""
    return KINDS.index(kind) if kind in KINDS else len(KINDS) + (kind == "dau")


def _listed(seeds: Iterable[int]) -> str:
    return ",".join(map(str, sorted(seeds)))

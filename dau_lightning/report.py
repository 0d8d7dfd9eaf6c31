"""Tables of results: one run as it ends, and many runs over seeds: `python -m dau_lightning.report FOLDER...`."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dau_lightning.error import InputError
from dau_lightning.folder import read_result
from dau_lightning.metric.disparity import COLUMNS, disparity

GAPS = tuple(f"Δ{column}" for column in COLUMNS)
SELECTION_COLUMNS = ("UA", "MIA", "RA", "judge_error", "judge_MIA", "score")

Row = Mapping[str, Any]
Cell = tuple[str, ...]  # dataset, network, scheme, sparsity, and whether it is a selection


def run_table(result: Mapping[str, Any]) -> Table:
    """The rows of one run: UA, MIA, RA, TA in percent, their gaps to Retrain, disparity, and seconds."""
    columns = SELECTION_COLUMNS if result["selection"] else (*COLUMNS, *GAPS, "disparity")
    cells = []
    for row in result["rows"].values():
        values = row | {f"Δ{column}": gap for column, gap in row.get("gaps", {}).items()}
        numbers = ("-" if values.get(column) is None else f"{values[column]:.2f}"[:5] for column in columns)  # fits 80
        cells.append([row["label"], *numbers, f"{row['seconds']:.1f}"])
    return _table(["", *columns, "seconds"], cells)


def print_run(result: Mapping[str, Any], folder: Path) -> None:
    """Print a run's table, what its test set is, and where everything is."""
    Console().print(run_table(result))
    forgotten = ", ".join(result["forgotten_classes"])
    if forgotten and not result["selection"]:
        accuracies = ", ".join(
            f"{row['label']} {row['TA_forgotten']:.2f}" for row in result["rows"].values() if row["TA_forgotten"] is not None
        )
        print(f"TA: retained classes only; test accuracy of the forgotten class {forgotten}: {accuracies or 'no test image'}")
    hardware = result["hardware"]
    for row in result["rows"].values():
        if row.get("store"):
            print(f"{row['label']}: {row['store']}")
    print(f"measured on {hardware['device']} ({hardware['name']}, {hardware['threads']} threads); everything is in\n{folder}")


def seeds_tables(folders: Iterable[Path]) -> dict[Cell, tuple[list[str], list[list[str]]]]:
    """Header and rows over seeds for every cell (dataset, network, scheme, sparsity) that finished runs are found of.

    Runs of one method with different settings are rows of their own, named by what differs.

    Raises:
        InputError: no finished run; one cell and seed on different splits; two runs of one method, settings and seed.
    """
    runs = [
        (path.parent, result)
        for folder in folders
        for path in sorted(folder.rglob("result.json"))
        if (result := read_result(path.parent))
    ]
    if not runs:
        raise InputError(f"no finished run (result.json) in {', '.join(map(str, folders))}")
    cells: dict[Cell, list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for folder, result in runs:
        judged = "selection" if result["selection"] else "evaluation"
        cells[result["dataset"], result["network"], result["scheme"], result["sparsity"], judged].append((folder, result))
    return {cell: _cell_table(members) for cell, members in sorted(cells.items())}


def _cell_table(runs: Sequence[tuple[Path, dict[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    rows = _rows_by_seed(runs)
    selection = runs[0][1]["selection"]
    whole_class = any(row.get("TA_forgotten") is not None for by_seed in rows.values() for row in by_seed.values())
    columns = SELECTION_COLUMNS if selection else (*COLUMNS, *(["TA_forgotten"] if whole_class else []), *GAPS, "disparity")
    columns = (*columns, "seconds", *([] if selection else ["time_ratio"]))
    table = []
    for name, by_seed in rows.items():
        flat = [{**row} | {f"Δ{column}": gap for column, gap in row.get("gaps", {}).items()} for row in by_seed.values()]
        spreads = [_spread([row[column] for row in flat if row.get(column) is not None]) for column in columns]
        of_means = [] if selection else [_disparity_of_means(by_seed, rows.get("Retrain"))]
        table.append([name, *spreads, *of_means, str(len(by_seed))])
    return ["", *columns, *([] if selection else ["of means"]), "seeds"], table


def _disparity_of_means(by_seed: Mapping[int, Row], reference: Mapping[int, Row] | None) -> str:
    """Disparity between the means over the seeds that a row and Retrain share; beside it stands the mean of disparities."""
    shared = [seed for seed in by_seed if seed in (reference or {})]
    if not shared or reference is None:
        return "-"
    means = [{column: mean(rows[seed][column] for seed in shared) for column in COLUMNS} for rows in (by_seed, reference)]
    return f"{disparity(*means):.2f}"


def _rows_by_seed(runs: Sequence[tuple[Path, dict[str, Any]]]) -> dict[str, dict[int, Row]]:
    """Rows by name and seed; the same original and Retrain stand in the runs of every method."""
    settings = {folder: _flat(result["settings"]["baseline"]) for folder, result in runs}
    rows: dict[str, dict[int, Row]] = {}
    splits: dict[int, tuple[str, Path]] = {}
    found: dict[tuple[str, int], Path] = {}
    for folder, result in runs:
        split, other = splits.setdefault(result["seed"], (result["split_hash"], folder))
        if split != result["split_hash"]:
            raise InputError(f"{folder} and {other} have one seed and different splits: they cannot share a table")
        beside = [settings[other] for other, theirs in runs if theirs["baseline"] == result["baseline"]]
        varied = {key for each in beside for key in each if any(each.get(key) != every.get(key) for every in beside)}
        for kind, row in result["rows"].items():
            name = row["label"]
            if kind == result["baseline"] and kind not in ("retrain", "original"):
                name = " ".join([name, *(f"{key}={settings[folder].get(key)}" for key in sorted(varied))])
                if (other := found.setdefault((name, result["seed"]), folder)) != folder:
                    raise InputError(
                        f"{folder} and {other} are two runs of {name} with seed {result['seed']}: give one of them"
                    )
            before = rows.setdefault(name, {}).setdefault(result["seed"], row)
            if any(before.get(column) != row.get(column) for column in COLUMNS):
                raise InputError(
                    f"{name} with seed {result['seed']} has other numbers in {folder} than in another run: "
                    "recipe, network or precision differ; give runs of one recipe"
                )
    return rows


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A tree of settings as one level of dotted names."""
    flat: dict[str, str] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return flat


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return "-"
    return f"{mean(values):.2f}" + (f"±{stdev(values):.2f}" if len(values) > 1 else "")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, header_style="bold")
    for index, column in enumerate(header):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table a cell, for the terminal or as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m dau_lightning.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for finished runs")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(arguments)
    for cell, (header, rows) in seeds_tables(options.folders).items():
        print(("\n**{}**\n" if options.markdown else "\n{}").format(", ".join(cell)))
        if options.markdown:
            for line in (header, ["---", *["--:"] * (len(header) - 1)], *rows):
                print(f"| {' | '.join(line)} |")
        else:
            for group in _groups(header):
                _print_spreads([header[i] for i in group], [[row[i] for i in group] for row in rows])


def _groups(header: Sequence[str]) -> list[list[int]]:
    """Columns that share a table on a terminal: the numbers, and the distances to Retrain."""
    distances = [i for i, column in enumerate(header) if column.startswith("Δ") or column in ("disparity", "of means")]
    numbers = [i for i in range(len(header)) if i not in distances]
    return [numbers, *([[0, *distances]] if distances else [])]


def _print_spreads(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, the deviations below the means where the terminal is too narrow for both in one line."""
    console = Console()
    width = sum(max(map(len, column)) + 1 for column in zip(header, *rows, strict=True))
    separator = "±" if width <= console.width else "\n±"
    console.print(_table(header, [[text.replace("±", separator) for text in row] for row in rows]))
    print()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

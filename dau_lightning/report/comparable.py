"""Refuses rows that cannot share a table (other splits, settings or numbers, two of one kind), and says which are missing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from dau_lightning.base.error import InputError
from dau_lightning.metric.disparity import COMPARED

GROUP = ["dataset", "network", "scheme", "selection"]  # the rows of a group share a table
CELL = [*GROUP, "sparsity"]
ROW = [*CELL, "method", "kind", "seed"]
REFERENCES = ("retrain", "original")  # measured again in the runs of every method
# Settings of all rows of a group.
SHARED = ("dataset.", "corruption.", "scheme.", "network.", "recipe.", "transform.", "trainer.precision")
OWN = ("dataset.root", "dataset.cache", "dataset.seed")


def shared(settings: Mapping[str, str]) -> dict[str, str]:
    """Of the settings of a run, those of all rows of a group."""
    return {name: value for name, value in settings.items() if name.startswith(SHARED) and name not in OWN}


def check(rows: pd.DataFrame) -> None:
    """Compare what must be the same within a table. Of rows from files only hashes of the settings are known.

    Args:
        rows: of `records_of` or `read_rows`, in which a Retrain or original that several runs share stands once a run.

    Raises:
        InputError: two runs contradict each other; the message names their folders or files.
    """
    known = [getattr(run, "settings", {}) for run in rows.run]
    all_shared = pd.DataFrame([shared(settings) for settings in known], rows.index)
    pruning = pd.DataFrame(known, rows.index).filter(regex="^sparsity")
    told = rows.reindex(columns=["split_hash", "shared_settings", "method_settings"])  # missing in older files
    sources = rows.source.mask(rows.kind.isin(REFERENCES)).to_frame()
    splits, each = told.filter(["split_hash"]), "make a report of each"
    _check_same(rows, [*GROUP, "seed"], splits, f"one seed and different splits: {each} split")
    _check_same(rows, GROUP, all_shared, each)
    _check_same(rows, GROUP, told.filter(["shared_settings"]), each)
    _check_same(rows, CELL, pruning, each)
    _check_same(rows, [*CELL, "method", "kind"], told.filter(["method_settings"]), each)
    _check_same(rows, ROW, sources, "two runs of {method} with seed {seed}: give one of them")
    numbers = rows.reindex(columns=COMPARED).astype(float).round(9)  # reading a file may change the last digit
    _check_same(rows, ROW, numbers, "two numbers of {method} with seed {seed}: give runs of one recipe")


def check_seeds(rows: pd.DataFrame, wanted: Collection[int]) -> None:
    """Check that every row has the wanted seeds, except in a search by selection score.

    Args:
        rows: of all seeds.
        wanted: the seeds of the report.

    Raises:
        InputError: a row lacks a wanted seed, or no run has any of them.
    """
    if not rows.seed.isin(wanted).any():
        raise InputError(f"--seeds must name seeds of finished runs, got {_listed(wanted)}")
    for _, group in rows.loc[rows.selection == 0].groupby(GROUP, sort=False):
        seeds = group.groupby(["method", "sparsity"], sort=False).seed.agg(set)
        both, place = set.intersection(*seeds), ", ".join(group.loc[:, GROUP[:3]].iloc[0])
        advice = f"or give --seeds {_listed(both)}, which all have" if both else "or give folders with the same seeds"
        for (method, sparsity), own in seeds.to_dict().items():
            if missing := {*wanted} - own:
                raise InputError(f"{method} of {place}, {sparsity}, misses seed {_listed(missing)}: run it, {advice}")


def lacking_seeds(rows: pd.DataFrame) -> list[str]:
    """Of one group, a line for the rows that lack the same seeds, such as `FT has 4 of 5 seeds: misses seed 3`."""
    several, found = rows.sparsity.nunique() > 1, defaultdict[tuple[int, ...], list[str]](list)
    for (method, sparsity), seeds in rows.groupby(["method", "sparsity"], sort=False).seed:
        if missing := {*rows.seed} - {*seeds}:
            found[tuple(sorted(missing))].append(f"{method} {sparsity}" if several else method)
    total, lines = rows.seed.nunique(), []
    for missing, names in found.items():
        have, miss = ("has", "misses") if len(names) == 1 else ("have", "miss")
        seeds = f"seed{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        lines.append(f"{', '.join(names)} {have} {total - len(missing)} of {total} seeds: {miss} {seeds}.")
    return lines


def lacking_methods(rows: pd.DataFrame) -> list[str]:
    """A line for each scheme that has no row of methods that another scheme of its data set and network has."""
    lines = []
    for (dataset, network), same in rows.loc[rows.selection == 0].groupby(["dataset", "network"], sort=False):
        for scheme, own in same.groupby("scheme", sort=False):
            if missing := [method for method in same.method.unique() if method not in {*own.method}]:
                lines.append(f"{dataset}, {network}, {scheme} has no row of {', '.join(missing)}, which another scheme has")
    return lines


def _check_same(rows: pd.DataFrame, by: list[str], values: pd.DataFrame, advice: str) -> None:
    """Every column of `values` must have one value within the rows that agree in `by`; a missing value agrees with all."""
    keys = [rows[name] for name in by]
    first = values.groupby(keys).transform("first")
    different = values.notna() & (values != first)
    for name in values.columns[different.any()]:
        index = different[name].idxmax()
        other = rows.source.where(values[name].notna()).groupby(keys).transform("first")[index]
        said = f"{other} and {rows.source[index]} have {name}={first[name][index]} and {name}={values[name][index]}"
        raise InputError(f"{said} and cannot share a table: {advice.format_map(rows.loc[index])}")


def _listed(seeds: Iterable[int]) -> str:
    return ",".join(map(str, sorted(seeds)))

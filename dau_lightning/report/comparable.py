"""Refuses runs that cannot share a table: other splits, settings, numbers or seeds, or two runs of one row."""

from collections.abc import Collection, Iterable

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


def check(rows: pd.DataFrame) -> None:
    """Compare what must be the same within a table.

    Args:
        rows: of `rows_of`, in which a Retrain or original that several runs share still stands once a run.

    Raises:
        InputError: two runs contradict each other; the message names their folders.
    """
    settings = pd.DataFrame([run.settings for run in rows.run], index=rows.index)
    shared = settings.loc[:, [name for name in settings if name.startswith(SHARED) and name not in OWN]]
    splits = rows.run.map(lambda run: run.result["split_hash"]).to_frame("split_hash")
    folders = rows.run.map(lambda run: str(run.folder)).mask(rows.kind.isin(REFERENCES)).to_frame("folder")
    _check_same(rows, [*GROUP, "seed"], splits, "one seed and different splits: make a report of each split")
    _check_same(rows, GROUP, shared, "make a report of each")
    _check_same(rows, CELL, settings.filter(regex="^sparsity"), "make a report of each")
    _check_same(rows, ROW, folders, "two runs of {method} with seed {seed}: give one of them")
    _check_same(rows, ROW, rows.reindex(columns=COMPARED), "two numbers of {method} with seed {seed}: give runs of one recipe")


def check_seeds(rows: pd.DataFrame, wanted: Collection[int] | None) -> None:
    """Means over different seeds are no comparison: every row must have all seeds, except in a search by selection score.

    Args:
        rows: of all seeds.
        wanted: the seeds of the report; None: all that a row of the group has.

    Raises:
        InputError: a row lacks a seed, or no run has any of the wanted ones.
    """
    if wanted is not None and not rows.seed.isin(wanted).any():
        raise InputError(f"--seeds must name seeds of finished runs, got {_listed(wanted)}")
    for _, group in rows.loc[rows.selection == 0].groupby(GROUP, sort=False):
        seeds = group.groupby(["method", "sparsity"], sort=False).seed.agg(set)
        shared, place = set.intersection(*seeds), ", ".join(group.loc[:, GROUP[:3]].iloc[0])
        advice = f"or give --seeds {_listed(shared)}, which all have" if shared else "or give folders with the same seeds"
        for (method, sparsity), own in seeds.to_dict().items():
            if missing := set(group.seed if wanted is None else wanted) - own:
                raise InputError(f"{method} of {place}, {sparsity}, misses seed {_listed(missing)}: run it, {advice}")


def _check_same(rows: pd.DataFrame, by: list[str], values: pd.DataFrame, advice: str) -> None:
    """Every column of `values` must have one value within the rows that agree in `by`; a missing value agrees with all."""
    keys = [rows[name] for name in by]
    first = values.groupby(keys).transform("first")
    different = values.notna() & (values != first)
    for name in values.columns[different.any()]:
        index = different[name].idxmax()
        other = rows.run.where(values[name].notna()).groupby(keys).transform("first")[index]
        pair = f"{other.folder} and {rows.run[index].folder}"
        said = f"{pair} have {name}={first[name][index]} and {name}={values[name][index]}"
        raise InputError(f"{said} and cannot share a table: {advice.format_map(rows.loc[index])}")


def _listed(seeds: Iterable[int]) -> str:
    return ",".join(map(str, sorted(seeds)))

"""Rows of reports in a CSV file, small enough to keep when the run folders are gone; the same tables are made from it."""

import io
import json
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from dau_lightning.base.error import InputError
from dau_lightning.report.comparable import check_seeds
from dau_lightning.report.rows import in_order

JSON = "counts", "warnings", "flags", "verdicts"  # columns of lists and dictionaries


def written(rows: pd.DataFrame) -> str:
    """The rows of `rows_of` as CSV, unrounded: a line for each model of each run."""
    kept = rows.drop(columns=["run", "rank"], errors="ignore")
    kept = kept.assign(**{name: kept[name].map(json.dumps) for name in JSON})
    return kept.to_csv(index=False, lineterminator="\n")


def read_rows(path: Path, seeds: Collection[int] | None = None) -> pd.DataFrame:
    """The rows in such a file.

    Args:
        path: the file.
        seeds: restricts the rows to these seeds; None takes all.

    Raises:
        InputError: there is no such file, it is another one, or a row lacks one of the seeds.
    """
    try:
        rows = pd.read_csv(io.StringIO(path.read_text()))
        rows = rows.assign(**{name: rows[name].map(json.loads) for name in JSON})
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "`python -m dau_lightning.report FOLDER --format rows` writes one"
        raise InputError(f"{path} holds no rows of a report ({error}): {remedy}") from error
    check_seeds(rows, seeds)
    rows = rows.assign(published=rows.published.astype(object).where(rows.published.notna(), None))
    rows = rows if seeds is None else rows.loc[rows.seed.isin(seeds)]
    return in_order(rows.copy()).reset_index(drop=True)  # a copy is in one piece, to which a column can be added

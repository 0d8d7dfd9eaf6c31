"""Rows of reports in CSV files, small enough to keep when the run folders are gone; the same tables are made from them."""

import io
import json
from pathlib import Path

import pandas as pd

from dau_lightning.base.error import InputError

JSON = "counts", "warnings", "flags", "verdicts", "settings"  # columns of lists and dictionaries
TEXTS = "split_hash", "shared_settings", "method_settings", "machine", "torch"  # some of which look like numbers


def written(rows: pd.DataFrame) -> str:
    """The rows of `table_of` as CSV, unrounded: a line for each model of each run."""
    kept = rows.drop(columns=["run", "source", "rank"])
    kept = kept.assign(**{name: kept[name].map(json.dumps) for name in JSON})
    return kept.to_csv(index=False, lineterminator="\n")


def row_files(path: Path) -> list[Path]:
    """The files of rows behind an argument of a report: itself, or the `.csv` files in a folder without runs, by name."""
    if path.suffix == ".csv":
        return [path]
    return [] if any(path.rglob("result.json")) else sorted(path.glob("*.csv"))


def read_rows(path: Path) -> pd.DataFrame:
    """The rows in such a file; `source` names their lines.

    Raises:
        InputError: there is no such file, or it is another one.
    """
    try:
        rows = pd.read_csv(io.StringIO(path.read_text()), dtype=dict.fromkeys(TEXTS, "str"))
        rows = rows.copy()  # in one block, to which columns can be added
        rows = rows if "settings" in rows else rows.assign(settings="{}")  # files of earlier versions
        rows = rows.assign(**{name: rows[name].map(json.loads) for name in JSON})
        rows = rows.assign(published=rows.published.astype(object).where(rows.published.notna(), None))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "`python -m dau_lightning.report FOLDER --format rows` writes one"
        raise InputError(f"{path} holds no rows of a report ({error}): {remedy}") from error
    return rows.assign(run=None, source=[f"{path}, line {number}" for number in range(2, len(rows) + 2)])

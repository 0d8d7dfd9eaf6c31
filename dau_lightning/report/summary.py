"""From rows to the numbers of the tables: mean and sample standard deviation over seeds, and the paper's numbers."""

import pandas as pd

from dau_lightning.report import published
from dau_lightning.report.columns import ordered
from dau_lightning.report.comparable import CELL

DEVIATIONS = "Deviations (±, error bars) are standard deviations over seeds, with n - 1 in the denominator."


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A record for each method and sparsity, unrounded: `UA_mean`, `UA_std`, ..., `disparity_of_means`, `paper_UA_mean`, ...

    The column `std` has the definition of the deviations, as text.
    """
    methods = rows.groupby([*CELL, "method"], sort=False)
    about = methods.agg(
        kind=("kind", "first"),
        seeds=("seed", lambda seeds: " ".join(map(str, seeds))),
        n=("seed", "size"),
        flags=("flags", lambda flags: "; ".join(dict.fromkeys(flag for found in flags for flag in found))),
    )
    numbers = methods[ordered(rows)].agg(["mean", "std"])  # n - 1
    numbers.columns = ["_".join(pair) for pair in numbers.columns]
    differences = [name for name in rows if str(name).startswith("difference_")]  # signed
    if differences:
        numbers["disparity_of_means"] = methods[differences].agg("mean").abs().mean(axis=1, skipna=False)
    paper = published.paper_rows().filter(like="paper_").reindex(methods.published.first().fillna("")).set_index(about.index)
    return about.assign(std=DEVIATIONS).join(numbers).join(paper.dropna(axis=1, how="all")).reset_index()


def csv(rows: pd.DataFrame) -> str:
    """The summary as CSV; a missing number is empty."""
    return summary(rows).to_csv(index=False, lineterminator="\n")

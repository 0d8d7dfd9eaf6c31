"""Tables of results: one run as it ends, or many runs over seeds (`python -m dau_lightning.report FOLDER...`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dau_lightning.metric.disparity import COLUMNS


def run_table(result: Mapping[str, Any]) -> Table:
    """The rows of one run: the four numbers in percent, their gaps to Retrain, disparity, and seconds."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    selection = ("judge_error", "judge_MIA", "score") if result["selection"] else ()
    columns = ("UA", "MIA", "RA", *selection) if selection else (*COLUMNS, *(f"Δ{column}" for column in COLUMNS), "disparity")
    for column in (*columns, "seconds"):
        table.add_column(column, justify="right")
    for row in result["rows"].values():
        values = row | {f"Δ{column}": gap for column, gap in row.get("gaps", {}).items()}
        cells = ["-" if values.get(column) is None else f"{values[column]:.2f}" for column in columns]
        table.add_row(row["label"], *cells, f"{row['seconds']:.1f}")
    return table


def print_run(result: Mapping[str, Any], folder: Path) -> None:
    """Print a run's table, what its columns mean, and where it is."""
    console = Console()
    console.print(run_table(result))
    print(folder)

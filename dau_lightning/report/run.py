"""The table of one run, printed as it ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dau_lightning.evaluation.checks import all_warnings
from dau_lightning.report.rows import COLUMNS, GAPS, SCORE, SELECTION_COLUMNS


def run_table(result: Mapping[str, Any]) -> Table:
    """The rows of one run: UA, MIA, RA, TA in percent, their gaps to Retrain, disparity, and seconds."""
    columns = SELECTION_COLUMNS if result["selection"] else (*COLUMNS, *GAPS, "disparity")
    if not result["selection"] and any("score" in row for row in result["rows"].values()):
        columns = (*COLUMNS, *SCORE)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, header_style="bold")
    for index, column in enumerate(("", *columns, "seconds")):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in result["rows"].values():
        values = row | {f"Δ{column}": gap for column, gap in row.get("gaps", {}).items()}
        numbers = ("-" if values.get(column) is None else f"{values[column]:.2f}"[:5] for column in columns)  # fits 80
        table.add_row(row["label"], *numbers, f"{row['seconds']:.1f}")
    return table


def print_run(result: Mapping[str, Any], folder: Path) -> None:
    """Print a run's table, what its test set is, how sparse its networks are, and where everything is."""
    Console().print(run_table(result))
    rows = result["rows"].values()
    for label, doubt in all_warnings(result):
        print(": ".join(filter(None, ("warning", label, doubt))))
    forgotten = ", ".join(result["forgotten_classes"])
    if forgotten and not result["selection"]:
        accuracies = ", ".join(f"{row['label']} {row['TA_forgotten']:.2f}" for row in rows if row["TA_forgotten"] is not None)
        print(f"TA: retained classes only; test accuracy of the forgotten class {forgotten}: {accuracies or 'no test image'}")
    if not result["selection"] and any("score" in row for row in rows):
        print("score: the selection score, judged on validation images that the method did not see; lower is better")
    if result["sparsity"] != "dense":
        shares = ", ".join(f"{row['label']} {row['sparsity']:.2f}" for row in rows if row.get("sparsity") is not None)
        print(f"zeros in convolution weights, percent: {shares or 'not measured'}")
    hardware = result["hardware"]
    for row in rows:
        if row.get("store"):
            print(f"{row['label']}: {row['store']}")
    devices = f"{hardware['devices']} x " if hardware.get("devices", 1) > 1 else ""
    print(
        f"measured on {devices}{hardware['device']} ({hardware['name']}, {hardware['threads']} threads); "
        f"everything is in\n{folder}"
    )

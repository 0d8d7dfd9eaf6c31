"""The table of an audit on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from dau_lightning.storage.audit_file import figures

HEADINGS = {"method": "unlearned", "retrain": "Retrain", "original": "original"}


def print_audit(content: Mapping[str, Any]) -> None:
    """Print a line for each test, then the reasons for missing verdicts and the summary."""
    table = Table(Column("test", no_wrap=True), box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for heading in (*HEADINGS.values(), "noise", "tolerance"):
        table.add_column(heading, justify="right")
    table.add_column("verdict", no_wrap=True)
    for name, test in content["tests"].items():
        numbers = *figures(test).values(), test["noise"], test["tolerance"]
        table.add_row(name, *map(_shown, numbers), test["verdict"])
    Console().print(table)
    for name, test in content["tests"].items():
        if test["why"]:
            print(f"{name}: {test['why']}")
    print(content["summary"])


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"

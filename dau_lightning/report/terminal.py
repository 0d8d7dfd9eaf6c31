"""Sections on the terminal: tables that fit its width, and the table of one run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from dau_lightning.evaluation.checks import all_warnings
from dau_lightning.report.columns import column
from dau_lightning.report.read import Run
from dau_lightning.report.rows import rows_of
from dau_lightning.report.section import Section, beside, sections


def print_sections(sections: Iterable[Section], console: Console) -> None:
    """Print the title, tables, notes and warnings of every section."""
    for section in sections:
        console.print(f"\n{section.title}", style="bold", highlight=False)
        print_tables(section.main, console)
        for line in [*section.notes, *section.warnings]:
            console.print(line, highlight=False)


def print_tables(tables: Sequence[pd.DataFrame], console: Console) -> None:
    """Print families of columns in as few tables as the width allows.

    Where a family is too wide, deviations stand below the means; where it is still too wide, it is split between headings.
    """

    def fits(table: pd.DataFrame) -> bool:
        unbounded = console.options.update(max_width=10_000)
        return console.measure(_rich(table, console.width), options=unbounded).maximum <= console.width

    if not all(map(fits, tables)):
        tables = [table.replace("±", "\n±", regex=True) for table in tables]
    parts = [part for table in tables for part in ([table] if fits(table) else _by_heading(table))]
    for table in beside(parts, fits):
        console.print(_rich(table, console.width))
        console.print()


def _by_heading(table: pd.DataFrame) -> list[pd.DataFrame]:
    names = table.columns.get_level_values(0)
    return [table.loc[:, names == name] for name in names.unique()]


def _rich(table: pd.DataFrame, width: int) -> Table:
    """A heading stands once above its columns of all sparsities; a long method name has its settings below it."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, header_style="bold")
    made.add_column("")
    previous = ""
    for name, sparsity in table.columns:
        heading = "" if name == previous else column(name).heading.replace("_", "_\n").replace(" ", "\n").replace("-", "-\n")
        made.add_column(f"{heading}\n{sparsity.removesuffix(' sparse')}".rstrip("\n"), justify="right", overflow="fold")
        previous = name
    for method, *texts in table.itertuples():
        made.add_row(method if len(method) <= width // 5 else method.replace(" ", "\n  "), *texts)
    return made


def print_run(result: Mapping[str, Any], folder: Path) -> None:
    """Print the tables of one run, its warnings, where its networks are, and what it was measured on."""
    (section,) = sections(rows_of([Run(folder, result)]))
    print_tables(section.main, Console())
    for label, doubt in all_warnings(result):
        print(": ".join(filter(None, ("warning", label, doubt))))
    for note in section.notes:
        print(note)
    if forgotten := result["forgotten_classes"]:
        print(f"forgotten class: {', '.join(forgotten)}")
    for row in result["rows"].values():
        if "store" in row:
            print(f"{row['label']}: {row['store']}")
    if result["baseline"] == "dau" and "retrain" in result["rows"]:
        print("to compare with fine-tuning: the same command with baseline=finetune")
    hardware = result["hardware"]
    devices = f"{hardware['devices']} x " if hardware.get("devices", 1) > 1 else ""
    print(f"measured on {devices}{hardware['device']} ({hardware['name']}, {hardware['threads']} threads); everything is in")
    print(folder)

"""What a section gives: rows of named numbers, printed and written as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """Numbers of one kind.

    Attributes:
        title: what they are.
        rows: name of the column to number or text, the same columns in each.
        note: how to read them, and the target.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    note: str = ""

    def print(self, console: Console) -> None:
        """As wide as it must be."""
        table = RichTable(title=self.title, caption=self.note or None, title_justify="left", caption_justify="left", box=None)
        for column in self.rows[0]:
            table.add_column(column, justify="left" if isinstance(self.rows[0][column], str) else "right")
        for row in self.rows:
            table.add_row(*(value if isinstance(value, str) else short(value) for value in row.values()))
        console.print(table, "")


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a line through the logarithms: 1 where a value grows with the size."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def short(value: float) -> str:
    """Three digits, or all of a whole number."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

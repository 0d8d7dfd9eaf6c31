"""Tables that fit the terminal: where it is narrow, deviations stand below the means and columns in a table of their own."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

from dau_lightning.report.rows import Group
from dau_lightning.report.table import Block, families, notes, title

Column = tuple[str, Sequence[str]]  # heading and cells; both may have several lines


def print_groups(groups: Iterable[Group], console: Console) -> None:
    """Print every group: a title, its tables, and what a reader has to know."""
    for group in groups:
        console.print(f"\n{title(group)}", style="bold", highlight=False)
        for columns in _tables(families(group), console.width):
            console.print(_table(columns))
            console.print()
        for note in notes(group):
            console.print(note, highlight=False)


def _tables(blocks: Sequence[Block], width: int) -> list[list[Column]]:
    """Families of columns in as few tables as the width allows; deviations below means where a family would not fit."""
    names: Column = ("", [_folded(name, width) for name, _ in blocks[0].rows])
    inline = all(_width([names, *_columns(block, "±")]) <= width for block in blocks)
    tables: list[list[Column]] = [[names]]
    for block in blocks:
        columns = _columns(block, "±" if inline else "\n±")
        fits = _width([names, *columns]) <= width
        for together in [columns] if fits else _by_heading(block, columns):
            if len(tables[-1]) > 1 and _width([*tables[-1], *together]) > width:
                tables.append([names])
            tables[-1] += together
    return tables


def _columns(block: Block, separator: str) -> list[Column]:
    """Headings on several lines; a heading stands once over the columns of all sparsities."""
    columns, before = [], ""
    for index, (heading, sparsity) in enumerate(block.columns):
        above = "" if heading == before else heading.replace("_", "_\n").replace(" ", "\n").replace("speed-", "speed-\n")
        below = f"\n{sparsity.removesuffix(' sparse')}" if sparsity else ""
        columns.append((above + below, [texts[index].replace("±", separator) for _, texts in block.texts]))
        before = heading
    return columns


def _by_heading(block: Block, columns: Sequence[Column]) -> list[list[Column]]:
    """Columns of a family that is too wide for any table: those of one heading stay together, which bears it once."""
    pairs = zip(block.columns, columns, strict=True)
    return [[column for _, column in same] for _, same in groupby(pairs, key=lambda pair: pair[0][0])]


def _folded(name: str, width: int) -> str:
    """A name that would take more than a fifth of the width, its settings below it."""
    return name if len(name) <= width // 5 else name.replace(" ", "\n  ")


def _width(columns: Sequence[Column]) -> int:
    """Of a table, a space between columns."""
    return sum(max(len(line) for cell in (heading, *cells) for line in cell.split("\n")) + 1 for heading, cells in columns)


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, header_style="bold")
    for index, (heading, _) in enumerate(columns):
        table.add_column(heading, justify="right" if index else "left", vertical="top", overflow="fold")
    for cells in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*cells)
    return table

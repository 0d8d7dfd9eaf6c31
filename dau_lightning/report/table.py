"""Tables of a group of rows, dense beside sparse: which columns they have, and how they look in Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report.rows import GAPS, SCORE, SELECTION_COLUMNS, Group, Spread

DISPARITY = ("disparity", "of means", "paper disparity")
TIME = ("seconds", "time_ratio", "speed-up", "paper speed-up")
PAPER = (*(f"paper {column}" for column in COLUMNS), "paper minutes")
FAMILIES = (COLUMNS, SCORE, DISPARITY, TIME, (*GAPS, "TA_forgotten", "zeros"), PAPER)
WIDEST = 14  # columns that a page can take
DECIMALS = {"time_ratio": 3}


@dataclass(frozen=True)
class Block:
    """A table: for every row a spread in every column, None where there is none.

    Attributes:
        columns: heading and sparsity; the sparsity is empty where the group has a single one.
        rows: name and spreads.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Spread | None]]]

    def beside(self, other: "Block") -> "Block":
        """One table of the columns of both."""
        rows = [(name, [*ours, *theirs]) for (name, ours), (_, theirs) in zip(self.rows, other.rows, strict=True)]
        return Block([*self.columns, *other.columns], rows)

    @property
    def texts(self) -> list[tuple[str, list[str]]]:
        """The rows as they are printed: `3.46±0.13`."""
        columns = [column for column, _ in self.columns]
        return [(name, [text(*pair) for pair in zip(spreads, columns, strict=True)]) for name, spreads in self.rows]


def families(group: Group) -> list[Block]:
    """The columns of a group that have numbers, in tables of columns that belong together."""
    wanted = [(*SELECTION_COLUMNS, "seconds")] if group.selection else FAMILIES
    return [made for family in wanted if (made := block(group, family)).columns]


def blocks(group: Group) -> list[Block]:
    """The same in few tables that a page can take."""
    tables: list[Block] = []
    for family in families(group):
        if tables and len(tables[-1].columns) + len(family.columns) <= WIDEST:
            tables[-1] = tables[-1].beside(family)
        else:
            tables.append(family)
    return tables


def title(group: Group) -> str:
    """What the rows of a group are of."""
    names = ", ".join([*group.names, " and ".join(group.cells)])
    if group.selection:
        return f"{names}; selection score"
    seeds = next(iter(next(iter(group.cells.values())).values())).seeds
    return f"{names}; seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def notes(group: Group, warn: bool = True) -> list[str]:
    """What a reader of a group's tables has to know; with or without the warnings, which may stand elsewhere."""
    spreads = [line.spreads for lines in group.cells.values() for line in lines.values()]
    found = {column for each in spreads for column in each}
    said = {
        "TA_forgotten": "TA: test images of retained classes; TA_forgotten: of the forgotten class.",
        "score": "score: the selection score, judged on validation images that the method did not see; lower is better.",
        "of means": "disparity: mean over seeds; of means: disparity of the means; Δ: distance to Retrain.",
        "zeros": "zeros: share of the convolution weights that are zero, percent.",
        "paper UA": "paper: arXiv 2402.06864, five seeds, disparity recomputed from its rows, minutes on one RTX A6000.",
    }
    noise = "Retrain 2 is the noise: differences smaller than its own disparity are ties."
    notes = [text for column, text in said.items() if column in found] + [noise] * ("retrain_again" in group.lines.values())
    return notes + (_flags(group) if warn else [])


def _flags(group: Group) -> list[str]:
    """What is wrong with which run or row, and for which seeds."""
    warned = [f"seed {', '.join(map(str, seeds))}: {warning}." for warning, seeds in group.warnings.items()]
    return warned + [
        f"{line.name}{f', {sparsity}' if len(group.cells) > 1 else ''}, seed {', '.join(map(str, seeds))}: {flag}."
        for sparsity, lines in group.cells.items()
        for line in lines.values()
        for flag, seeds in line.flags.items()
    ]


def text(spread: Spread | None, column: str) -> str:
    """A spread with as many decimals as its column has.

    >>> text(Spread(3.456, 0.127), "UA")
    '3.46±0.13'
    """
    if spread is None:
        return "-"
    return "±".join(f"{number:.{DECIMALS.get(column, 2)}f}" for number in spread if number is not None)


def markdown(groups: Iterable[Group]) -> str:
    """GitHub's tables, one below the other."""
    parts = []
    for group in groups:
        tables = []
        for block in blocks(group):
            header = ["", *(" ".join(filter(None, column)) for column in block.columns)]
            lines = [header, ["---", *["--:"] * len(block.columns)]]
            lines += [[name, *texts] for name, texts in block.texts]
            tables.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        parts += [f"**{title(group)}**", *tables, "  \n".join(notes(group))]
    return "\n\n".join(filter(None, parts)) + "\n"


def block(group: Group, wanted: Sequence[str]) -> Block:
    """The wanted columns as far as they have numbers; of `zeros`, all where networks are sparse."""

    def has(column: str, sparsity: str) -> bool:
        sparse = column == "zeros" and sparsity != "dense"
        return sparse or any(column in line.spreads for line in group.cells[sparsity].values())

    columns = [(column, sparsity) for column in wanted for sparsity in group.cells if has(column, sparsity)]

    def cells(name: str) -> list[Spread | None]:
        lines = {sparsity: lines[name] for sparsity, lines in group.cells.items() if name in lines}
        return [lines[sparsity].spreads.get(column) if sparsity in lines else None for column, sparsity in columns]

    single = len(group.cells) == 1
    counts = {name: max(len(lines[name].seeds) for lines in group.cells.values() if name in lines) for name in group.lines}
    names = {name: f"{name} (n={counts[name]})" if group.selection else name for name in group.lines}
    return Block(
        [(column, "" if single else sparsity) for column, sparsity in columns], [(names[n], cells(n)) for n in group.lines]
    )

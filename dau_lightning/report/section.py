"""Sections of text: the tables of each dataset, network and scheme, and what a reader needs to know about them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from dau_lightning.baseline import TRAINED_BY_RECIPE
from dau_lightning.evaluation.checks import UNSTABLE, UNSURE
from dau_lightning.report.columns import column, ordered
from dau_lightning.report.comparable import CELL, GROUP, lacking_seeds
from dau_lightning.report.summary import DEVIATIONS, summary
from dau_lightning.report.verdicts import verdict_lines

WIDEST = 14  # columns that a page can take
PARTS = {  # whose images the percentages of a column count
    "UA and MIA": ["forget"],
    "RA": ["retain"],
    "TA": ["test_retain"],
    "TA_forgotten": ["test_forget"],
    "trigger_rate": ["triggered"],
    "judge_error": ["judge", "judge_nonmembers"],
    "judge_MIA": ["judge"],
}
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")
TIE = " ≈"  # behind a disparity
NOISE = "Retrain 2 shows the noise: differences smaller than its disparity are ties; ≈ marks ties with the best method."
NO_TIES = "Retrain 2 is unstable, see its warnings: no difference is called a tie."

FEWER_SEEDS = "Means over different seeds are no comparison: such a row waits for its seeds."
OTHER_DIGITS = "Each has its own digits, and seconds compare within one."


@dataclass(frozen=True)
class Section:
    """The tables of rows that share dataset, network and scheme.

    Attributes:
        title: dataset, network, scheme, sparsities and seeds.
        tables: by family of columns. Cells are texts such as `3.46±0.13`. The index is the method; the columns are pairs of a
            name in `columns.py` and the sparsity, which is empty where the section has only one.
        notes: what a reader needs to know about the columns.
        warnings: about runs and rows, with their seeds.
    """

    title: str
    tables: dict[str, pd.DataFrame]
    notes: list[str]
    warnings: list[str]

    @property
    def main(self) -> list[pd.DataFrame]:
        """All tables but that of the attacks."""
        return [table for family, table in self.tables.items() if family != "attack"]

    @property
    def pages(self) -> list[pd.DataFrame]:
        """The same in few tables, each as wide as a page can take."""
        return beside(self.main, lambda table: table.shape[1] <= WIDEST)


def sections(rows: pd.DataFrame) -> list[Section]:
    """A section for each dataset, network and scheme; runs judged by the selection score have sections of their own."""
    return [_section(group) for _, group in rows.groupby(GROUP, sort=False)]


def few_images(rows: pd.DataFrame) -> list[str]:
    """The number of images behind percentages of fewer than 100, and behind attacks fitted on fewer than 200."""
    counts = pd.DataFrame(list(rows.counts), dtype=float)
    known = rows.dropna(axis=1, how="all")
    images = {
        f"{name} of": counts.reindex(columns=parts).sum(axis=1) for name, parts in PARTS.items() if name.split()[0] in known
    }
    scored = bool((counts.reindex(columns=["judge_nonmembers"]) > 0).to_numpy().any())  # they are the nonmembers of a score
    nonmembers = "judge_nonmembers" if scored else "test_retain"
    fitted = 2 * counts.reindex(columns=["retain", nonmembers]).min(axis=1)  # as many members as nonmembers
    few = {name: number for name, number in images.items() if number.min() < 100}
    few |= {"attacks fitted on": fitted} if fitted.min() < 200 else {}
    said = [f"{name} {_ranges([f'{count:.0f}' for count in number])}" for name, number in few.items()]
    return [f"Few images: {', '.join(said)}."] if said else []


def beside(tables: Iterable[pd.DataFrame], fits: Callable[[pd.DataFrame], bool]) -> list[pd.DataFrame]:
    """Join each table to the one before it where the two together fit."""
    joined: list[pd.DataFrame] = []
    for table in tables:
        both = pd.concat([*joined[-1:], table], axis=1)
        joined[-1:] = [both] if fits(both) else [*joined[-1:], table]
    return joined


def _section(rows: pd.DataFrame) -> Section:
    first, sparsities, seeds = rows.iloc[0], rows.sparsity.unique(), sorted(rows.seed.unique())
    place = ", ".join([first.dataset, first.network, first.scheme, " and ".join(sparsities)])
    about = "selection score" if first.selection else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    tables = _tables(rows)
    shown = dict.fromkeys(name for table in tables.values() for name, _ in table.columns)
    notes = [f"{column(name).heading}: {column(name).meaning}." for name in shown if column(name).noted]
    notes += [DEVIATIONS] if rows.duplicated([*CELL, "method"]).any() else []  # several seeds
    notes += [*few_images(rows), *_noise(rows), *verdict_lines(rows), *_unlike(rows)]
    notes += [*rows.beside.dropna().unique()] if "beside" in rows else []
    return Section(f"{place}; {about}", tables, notes, _warnings(rows))


def _tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The texts by family of columns; a column without a number is left out."""
    numbers = summary(rows).set_index(["method", "sparsity"])
    if numbers.n.max() == 1:  # the disparity of means is the disparity
        numbers = numbers.drop(columns="disparity_of_means", errors="ignore")
    texts = pd.DataFrame({name: _texts(numbers, name) for name in ordered(numbers)}, numbers.index)
    if "disparity" in texts and _noise(rows) == [NOISE]:
        texts["disparity"] += _ties(numbers)
    columns = pd.MultiIndex.from_product([texts.columns, rows.sparsity.unique()])
    methods = rows.sort_values(["rank", "method"]).method.unique()
    table: pd.DataFrame = texts.unstack("sparsity", fill_value="-").loc[methods, columns]
    table = table.loc[:, (table != "-").any()]
    if rows.sparsity.nunique() == 1:
        table = table.rename(columns=lambda sparsity: "", level=1)
    if rows.selection.any():
        table = table.rename(index=lambda method: f"{method} (n={numbers.n[method].max()})")
    families = table.columns.get_level_values(0).map(lambda name: column(name).family)
    return {family: table.loc[:, families == family] for family in families.unique()}


def _texts(numbers: pd.DataFrame, name: str) -> list[str]:
    """The cells of a column: `3.46±0.13`, `3.46` where there is no deviation, `-` where there is no number."""
    decimals, parts = column(name).decimals, [part for part in (name, f"{name}_mean", f"{name}_std") if part in numbers]
    cells = numbers[parts].itertuples(index=False)
    return ["±".join(f"{number:.{decimals}f}" for number in cell if pd.notna(number)) or "-" for cell in cells]


def _ties(numbers: pd.DataFrame) -> pd.Series:
    """`TIE` for the methods with all seeds that Retrain 2's disparity does not tell from the best one, in each sparsity."""
    marks = pd.Series("", numbers.index)
    for _, cell in numbers.groupby("sparsity"):
        noise = cell.disparity_mean[cell.kind == "retrain_again"].max()
        methods = cell.disparity_mean[~cell.kind.isin(TRAINED_BY_RECIPE) & (cell.n == cell.n.max())].dropna()
        tied = methods.index[methods < methods.min() + noise]
        marks[tied] = TIE if len(tied) > 1 else ""
    return marks


def _noise(rows: pd.DataFrame) -> list[str]:
    """What the row of Retrain 2 says about small differences; nothing if a seed's attack depends on the draw."""
    noise = rows.loc[rows.kind == "retrain_again", "flags"]
    unstable = any(flag.startswith((UNSTABLE, UNSURE)) for flags in noise for flag in flags)
    return [NO_TIES if unstable else NOISE] if len(noise) else []


def _unlike(rows: pd.DataFrame) -> list[str]:
    """Lines about rows that lack seeds, and about machines and versions of torch that differ."""
    lacking = [] if rows.selection.any() else lacking_seeds(rows)
    lines = [*lacking, FEWER_SEEDS] if lacking else []
    for name, title in (("machine", "Machines"), ("torch", "Versions of torch")):
        found = rows.reindex(columns=[name])[name].dropna().unique()
        lines += [f"{title}: {'; '.join(map(str, found))}. {OTHER_DIGITS}"] if len(found) > 1 else []
    return lines


def _warnings(rows: pd.DataFrame) -> list[str]:
    """A line for each kind of warning of whole runs, then of rows, with the methods and the number of seeds that have it.

    Warnings of a method that differ in numbers alone are of one kind, and the line has the range of each number.
    """
    cells = rows.method + (", " + rows.sparsity if rows.sparsity.nunique() > 1 else "")
    totals = {"": rows.seed.nunique(), **rows.groupby(cells).seed.nunique()}
    kinds: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    of_runs = zip([""] * len(rows), rows.seed, rows["warnings"], strict=True)
    for who, seed, warnings in [*of_runs, *zip(cells, rows.seed, rows["flags"], strict=True)]:
        for warning in warnings:
            kinds[who, NUMBER.sub("#", warning)].append((seed, warning))
    lines: dict[str, list[str]] = defaultdict(list)
    for (who, _), found in kinds.items():
        seeds, texts = zip(*found, strict=True)
        lines[_ranges(texts)].append(", ".join(filter(None, (who, _seeds(set(seeds), totals[who])))))
    return [f"{'; '.join(whose)}: {text}." for text, whose in lines.items()]


def _seeds(found: set[int], total: int) -> str:
    listed = ", ".join(map(str, sorted(found)))
    return f"seed {listed}" if total == 1 else f"{len(found)} of {total} seeds ({listed})"


def _ranges(texts: Sequence[str]) -> str:
    """Texts that differ in numbers alone as one: `AUC 41.2-43.0 is 6.1-8.1 points below 50`."""
    columns = [sorted(set(column), key=float) for column in zip(*map(NUMBER.findall, texts), strict=True)]
    ranges = iter("-".join(dict.fromkeys((column[0], column[-1]))) for column in columns)
    return NUMBER.sub(lambda _: next(ranges), texts[0])

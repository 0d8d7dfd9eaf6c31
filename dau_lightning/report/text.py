"""Sections as Markdown and as LaTeX."""

from collections.abc import Iterable

import pandas as pd

from dau_lightning.report.columns import column
from dau_lightning.report.section import Section

ESCAPES = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "Δ": r"$\Delta$", "±": r"$\pm$", "≈": r"$\approx$"})


def headings(table: pd.DataFrame) -> list[str]:
    """The heading of each column: `UA`, or `UA dense` in a table of several sparsities."""
    return [f"{column(name).heading} {sparsity}".strip() for name, sparsity in table.columns]


def markdown(sections: Iterable[Section]) -> str:
    """GitHub's tables, one below the other."""
    parts = []
    for section in sections:
        tables = map(markdown_table, section.pages)
        parts += [f"**{section.title}**", *tables, "  \n".join(section.notes + section.warnings)]
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown_table(table: pd.DataFrame) -> str:
    """A table of GitHub's Markdown."""
    lines = [["", *headings(table)], ["---", *["--:"] * table.shape[1]], *table.itertuples()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex(sections: Iterable[Section]) -> str:
    """A table environment (booktabs, graphicx) for each table; the caption of the first has the notes and warnings."""
    parts = ["% \\usepackage{booktabs,graphicx}\n"]
    for section in sections:
        caption = " ".join([f"{section.title}.", *section.notes, *section.warnings])
        for table in section.pages:
            parts.append(_latex_table(table, caption.translate(ESCAPES)))
            caption = f"{section.title}, continued."
    return "\n".join(parts)


def _latex_table(table: pd.DataFrame, caption: str) -> str:
    """One table; a heading spans the columns of all sparsities, as in the paper's Table 1; `±0.13` is a subscript."""
    table = table.rename_axis(None).rename(index=lambda name: name.translate(ESCAPES)).replace("-", "--")
    numbers = {r"^([\d.]+)( ≈)?$": r"$\1$\2", r"^([\d.]+)±([\d.]+)": r"$\1_{\\pm \2}$", " ≈": r" $\\approx$"}
    table = table.replace(numbers, regex=True)
    pairs = [(column(name).heading.translate(ESCAPES), sparsity.translate(ESCAPES)) for name, sparsity in table.columns]
    table.columns = pd.MultiIndex.from_tuples(pairs) if pairs[0][1] else [heading for heading, _ in pairs]
    tabular = table.to_latex(escape=False, column_format="l" + "r" * len(pairs), multicolumn_format="c")
    return rf"""\begin{{table}}[ht]
\centering
\caption{{{caption}}}
\resizebox{{\linewidth}}{{!}}{{%
{tabular.rstrip()}}}
\end{{table}}
"""

"""Tables in LaTeX (booktabs, graphicx): a heading over its columns of every sparsity, as in the paper's Table 1."""

from collections.abc import Iterable
from itertools import groupby

from dau_lightning.report.rows import Group
from dau_lightning.report.table import Block, blocks, notes, title

ESCAPES = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "Δ": r"$\Delta$", "±": r"$\pm$"})


def latex(groups: Iterable[Group]) -> str:
    """A table environment for every block of a group; what a reader has to know stands in the caption of the first."""
    tables = ["% \\usepackage{booktabs,graphicx}\n"]
    for group in groups:
        caption, remarks = title(group), notes(group)
        for block in blocks(group):
            tables.append(_table(block, " ".join([f"{caption}.", *remarks])))
            caption, remarks = f"{title(group)}, continued", []
    return "\n".join(tables)


def _table(block: Block, caption: str) -> str:
    headings = [(heading, len(list(same))) for heading, same in groupby(heading for heading, _ in block.columns)]
    above = [_over(heading, count) for heading, count in headings]
    below = [sparsity.translate(ESCAPES) for _, sparsity in block.columns]
    columns = "r" * len(block.columns)
    head = "\n".join(_row("", cells) for cells in (above, below) if any(cells))
    body = "\n".join(_row(name.translate(ESCAPES), map(_math, texts)) for name, texts in block.texts)
    return rf"""\begin{{table}}[ht]
\centering
\caption{{{caption.translate(ESCAPES)}}}
\resizebox{{\linewidth}}{{!}}{{%
\begin{{tabular}}{{l{columns}}}
\toprule
{head}
\midrule
{body}
\bottomrule
\end{{tabular}}}}
\end{{table}}
"""


def _over(heading: str, count: int) -> str:
    """A heading over its columns."""
    heading = heading.translate(ESCAPES)
    return heading if count == 1 else rf"\multicolumn{{{count}}}{{c}}{{{heading}}}"


def _row(name: str, cells: Iterable[str]) -> str:
    return " & ".join([name, *cells]) + r" \\"


def _math(text: str) -> str:
    """`3.46±0.13` with the deviation as an index, as the paper prints it."""
    mean, _, deviation = text.partition("±")
    return "--" if mean == "-" else f"${mean}_{{\\pm {deviation}}}$" if deviation else f"${mean}$"

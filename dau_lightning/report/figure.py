"""Figure 2 of the paper: how many forget samples four attacks call nonmembers, methods beside Retrain. Needs matplotlib."""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dau_lightning.report.rows import Group, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTACKS = {
    "confidence": "confidence",
    "entropy": "entropy",
    "modified_entropy": "modified\nentropy",
    "probability": "probability",
}
FORMATS = ("png", "svg")
RETRAIN = "#333333"
# Okabe & Ito (2008): told apart by colour-blind readers; hatches tell them apart in black and white.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "#999999")
DAU = "#D55E00"
HATCHES = ("///", "...", "\\\\\\", "xxx", "ooo", "---", "+++")
STYLE = {
    "font.size": 9,
    "svg.hashsalt": "dau",  # the same figure is the same file
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def figures(groups: Iterable[Group]) -> dict[str, bytes]:
    """Files by name: one figure for every dataset and network, a panel for every scheme and sparsity, as PNG and SVG.

    Rows without the four attacks are left out; no file where there is no row with them.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], list[tuple[str, list[Line]]]] = {}
    for group in groups:
        dataset, network, scheme = group.names
        for sparsity, lines in group.cells.items():
            shown = [lines[name] for name in group.lines if name in lines and _attacked(lines[name])]
            if shown and not group.selection:
                panels.setdefault((dataset, network), []).append((f"{scheme}, {sparsity}", shown))
    files: dict[str, bytes] = {}
    with matplotlib.rc_context(STYLE):
        for (dataset, network), cells in panels.items():
            figure = _figure(Figure, f"{dataset}, {network}", cells)
            for suffix in FORMATS:
                content = io.BytesIO()
                figure.savefig(content, format=suffix, dpi=200, metadata={"Date": None} if suffix == "svg" else None)
                files[f"attacks-{dataset}-{network}.{suffix}"] = content.getvalue()
    return files


def _figure(kind: "type[Figure]", name: str, cells: list[tuple[str, list[Line]]]) -> "Figure":
    names = list(dict.fromkeys((line.name, line.kind) for _, lines in cells for line in lines))
    columns = min(2, len(cells))
    rows = -(-len(cells) // columns)
    figure = kind(figsize=(1.2 + 4.2 * columns, 0.9 + 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    styles = dict(zip([name for name, _ in names], _styles([kind for _, kind in names]), strict=True))
    handles = {}
    for axis, (title, lines) in zip(axes, cells, strict=False):
        handles |= _panel(axis, title, lines, styles)
    for axis in list(axes)[len(cells) :]:
        axis.set_visible(False)
    figure.suptitle(f"Attacks on the forget set: {name}", fontsize=10)
    figure.supylabel("called nonmember (MIA-efficacy), %", fontsize=9)
    ordered = [handles[name] for name, _ in names]
    figure.legend(handles=ordered, loc="outside lower center", ncols=min(len(names), 2 + 2 * columns), frameon=False)
    return figure


def _panel(axis: "Axes", title: str, lines: list[Line], styles: dict[str, dict[str, str]]) -> dict[str, object]:
    width = 0.84 / len(lines)
    handles = {}
    for index, line in enumerate(lines):
        spreads = [line.spreads[f"attack {attack}"] for attack in ATTACKS]
        places = [place + (index - (len(lines) - 1) / 2) * width for place in range(len(ATTACKS))]
        handles[line.name] = axis.bar(
            places, [s.mean for s in spreads], width, edgecolor="black", linewidth=0.5, label=line.name, **styles[line.name]
        )
        if any(s.std is not None for s in spreads):
            deviations = [s.std or 0 for s in spreads]
            axis.errorbar(places, [s.mean for s in spreads], deviations, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
        if line.kind == "retrain":  # its level, across the bars that are to meet it
            starts = [place - 0.45 for place in range(len(ATTACKS))]
            ends = [place + 0.45 for place in range(len(ATTACKS))]
            axis.hlines([s.mean for s in spreads], starts, ends, color=RETRAIN, linestyle="--", linewidth=0.9, zorder=3)
    axis.set_title(title, fontsize=9)
    axis.set_xticks(range(len(ATTACKS)), list(ATTACKS.values()))
    axis.tick_params(axis="x", length=0)
    axis.set_ylim(0, 105)
    axis.set_yticks(range(0, 101, 20))
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    return handles


def _attacked(line: Line) -> bool:
    return all(f"attack {attack}" in line.spreads for attack in ATTACKS)


def _styles(kinds: list[str]) -> Iterator[dict[str, str]]:
    """Retrain dark, DAU vermilion, the others in turn."""
    others = games = 0
    for kind in kinds:
        if kind == "retrain":
            yield {"color": RETRAIN}
        elif kind == "dau":
            yield {"color": DAU, "hatch": HATCHES[-games % len(HATCHES)] if games else ""}
            games += 1
        else:
            yield {"color": COLOURS[others % len(COLOURS)], "hatch": HATCHES[others % len(HATCHES)]}
            others += 1

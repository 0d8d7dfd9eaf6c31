"""Figure 2 of the paper: how many forget samples four attacks call nonmembers, methods beside Retrain. Needs matplotlib."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dau_lightning.report.figure.style import COLOURS, DAU, HATCHES, RETRAIN, STYLE, saved
from dau_lightning.report.rows import Group, Line, Spread

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTACKS = {
    "confidence": "confidence",
    "entropy": "entropy",
    "modified_entropy": "modified\nentropy",
    "probability": "probability",
}


def figures(groups: Iterable[Group]) -> dict[str, bytes]:
    """Files by name: a figure for every dataset and network, a panel for every scheme and sparsity, as PNG and SVG.

    AttackerInputs without the four attacks are left out; no file where there is no row with them.
    """
    import matplotlib

    panels: dict[tuple[str, str], dict[str, dict[str, list[Line]]]] = {}
    for group in groups:
        dataset, network, scheme = group.names
        for sparsity, lines in group.cells.items():
            shown = [lines[name] for name in group.lines if name in lines and _attacked(lines[name])]
            if shown and not group.selection:
                panels.setdefault((dataset, network), {}).setdefault(scheme, {})[sparsity] = shown
    files: dict[str, bytes] = {}
    with matplotlib.rc_context(STYLE):
        for (dataset, network), schemes in panels.items():
            figure = _figure(f"{dataset}, {network}", schemes)
            files |= saved(file_name(dataset, network), figure)
    return files


def file_name(dataset: str, network: str) -> str:
    """Of the figure of a dataset and network, without its suffix."""
    return f"attacks-{dataset}-{network}".replace(" ", "-")


def _figure(title: str, schemes: dict[str, dict[str, list[Line]]]) -> "Figure":
    """A row of panels for every scheme, which share their scale, and a column for every sparsity."""
    from matplotlib.figure import Figure

    sparsities = list(dict.fromkeys(sparsity for cells in schemes.values() for sparsity in cells))
    kinds = {line.name: line.kind for cells in schemes.values() for lines in cells.values() for line in lines}
    styles = dict(zip(kinds, _styles(kinds.values()), strict=True))
    figure = Figure(figsize=(1.2 + 4.2 * len(sparsities), 0.9 + 2.5 * len(schemes)), layout="constrained")
    grid = figure.subplots(len(schemes), len(sparsities), sharey="row", squeeze=False)
    handles: dict[str, Artist] = {}
    for axes, (scheme, cells) in zip(grid, schemes.items(), strict=True):
        for axis, sparsity in zip(axes, sparsities, strict=True):
            axis.set_visible(sparsity in cells)
            axis.set_title(f"{scheme}, {sparsity}", fontsize=9)
            handles |= _panel(axis, cells.get(sparsity, []), styles)
        tops = [s.mean + (s.std or 0) for lines in cells.values() for line in lines for s in _efficacies(line)]
        axes[0].set_ylim(0, max(1, min(105, 1.08 * max(tops))))
        axes[0].set_ylabel("called nonmember, %")
    figure.suptitle(f"MIA-efficacy of four attacks: {title}", fontsize=10)
    ordered = [handles[name] for name in kinds]
    fit = int(figure.get_figwidth() / (0.6 + 0.08 * max(map(len, kinds))))  # inches: handle and space, a letter
    lines = -(-len(kinds) // max(1, fit))
    figure.legend(ordered, list(kinds), loc="outside lower center", ncols=-(-len(kinds) // lines), frameon=False)
    return figure


def _panel(axis: "Axes", lines: Sequence[Line], styles: Mapping[str, Mapping[str, Any]]) -> dict[str, "Artist"]:
    """Bars of every line for every attack, deviations over seeds; Retrain's level runs across the bars that are to meet it."""
    handles: dict[str, Artist] = {}
    for index, line in enumerate(lines):
        width = 0.84 / len(lines)
        spreads = _efficacies(line)
        means, deviations = [s.mean for s in spreads], [s.std or 0 for s in spreads]
        pairs = list(zip(means, deviations, strict=True))
        within = [min(d, m) for m, d in pairs], [min(d, max(0, 100 - m)) for m, d in pairs]  # efficacies end at 0 and 100
        places = [place + (index - (len(lines) - 1) / 2) * width for place in range(len(ATTACKS))]
        bars = axis.bar(places, means, width, edgecolor="black", linewidth=0.5, label=line.name, **styles[line.name])
        handles[line.name] = bars[0]
        if any(deviations):
            axis.errorbar(places, means, within, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
        if line.kind == "retrain":
            starts, ends = ([place + side for place in range(len(ATTACKS))] for side in (-0.45, 0.45))
            axis.hlines(means, starts, ends, color=RETRAIN, linestyle="--", linewidth=0.9, zorder=3)
    axis.set_xticks(range(len(ATTACKS)), list(ATTACKS.values()))
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    return handles


def _efficacies(line: Line) -> list[Spread]:
    return [line.spreads[f"attack {attack}"] for attack in ATTACKS]


def _attacked(line: Line) -> bool:
    return all(f"attack {attack}" in line.spreads for attack in ATTACKS)


def _styles(kinds: Iterable[str]) -> Iterator[dict[str, Any]]:
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

"""Figure 2 of the paper: how many forget samples four attacks call nonmembers, methods beside Retrain."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dau_lightning.report.figure import Picture
from dau_lightning.report.figure.style import COLOURS, DAU, HATCHES, RETRAIN, STYLE, saved
from dau_lightning.report.summary import DEVIATIONS, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTACKS = ("confidence", "entropy", "modified_entropy", "probability")
ATTACK_COLUMNS = [f"attack_{attack}" for attack in ATTACKS]
CAPTION = "How many forgotten images each attack calls nonmember. A bar should end where Retrain's does."


def attack_pictures(rows: pd.DataFrame, name: str = "") -> list[Picture]:
    """A figure for each dataset and network; rows without the four attacks, and selection runs, are left out.

    Args:
        rows: of runs.
        name: of the figure, where the rows have a single dataset and network; empty: `attacks-DATASET-NETWORK`.
    """
    import matplotlib

    if not {*ATTACK_COLUMNS} <= {*rows} or (attacked := rows.loc[rows.selection == 0].dropna(subset=ATTACK_COLUMNS)).empty:
        return []
    found = []
    with matplotlib.rc_context(STYLE):
        for _, same in attacked.groupby(["dataset", "network"], sort=False):
            dataset, network = same.dataset.iloc[0], same.network.iloc[0]
            own = name or re.sub(r"\W+", "-", f"attacks-{dataset}-{network}")
            caption = f"{CAPTION} {DEVIATIONS}" if same.seed.nunique() > 1 else CAPTION
            found.append(Picture(own, caption, saved(own, _figure(f"{dataset}, {network}", summary(same)))))
    return found


def _figure(title: str, numbers: pd.DataFrame) -> "Figure":
    """A row of panels for each scheme, which share their scale, and a column for each sparsity."""
    from matplotlib.figure import Figure

    schemes, sparsities = numbers.scheme.unique(), numbers.sparsity.unique()
    styles = _styles(dict(zip(numbers.method, numbers.kind, strict=True)))
    width = max(4.2, 0.35 * len(styles))  # inches of a panel
    figure = Figure(figsize=(1.2 + width * len(sparsities), 0.9 + 2.5 * len(schemes)), layout="constrained")
    grid = figure.subplots(len(schemes), len(sparsities), sharey="row", squeeze=False)
    for axes, scheme in zip(grid, schemes, strict=True):
        for axis, sparsity in zip(axes, sparsities, strict=True):
            panel = numbers.loc[(numbers.scheme == scheme) & (numbers.sparsity == sparsity)]
            axis.set_visible(len(panel) > 0)
            axis.set_title(f"{scheme}, {sparsity}", fontsize=9)
            _panel(axis, panel, styles)
        axes[0].set(ylabel="called nonmember, %", ylim=(0, None))  # shared: after all panels of the row
    figure.suptitle(f"MIA-efficacy of four attacks: {title}", fontsize=10)
    fit = int(figure.get_figwidth() / (0.6 + 0.08 * max(map(len, styles))))  # inches: handle and space, a letter
    bars = {label: bar for axis in figure.axes for bar, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend([bars[method] for method in styles], list(styles), loc="outside lower center", ncols=max(1, fit))
    return figure


def _panel(axis: "Axes", panel: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]]) -> None:
    """Bars of each method for each attack, with deviations over seeds; Retrain's level crosses the bars that should meet it."""
    places, width = np.arange(len(ATTACKS)), 0.84 / max(1, len(panel))
    means, deviations = (panel[[f"{column}_{part}" for column in ATTACK_COLUMNS]].to_numpy(float) for part in ("mean", "std"))
    for index, (method, kind, mean, deviation) in enumerate(zip(panel.method, panel.kind, means, deviations, strict=True)):
        own = places + (index - (len(panel) - 1) / 2) * width
        axis.bar(own, mean, width, edgecolor="black", linewidth=0.5, label=method, **styles[method])
        if not np.isnan(deviation).any():
            within = np.minimum(deviation, mean), np.minimum(deviation, np.maximum(0, 100 - mean))  # bars end at 0 and 100
            axis.errorbar(own, mean, within, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
        if kind == "retrain":
            axis.hlines(mean, places - 0.45, places + 0.45, color=RETRAIN, linestyle="--", linewidth=0.9, zorder=3)
    axis.set_xticks(places, [attack.replace("_", "\n") for attack in ATTACKS])
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y")


def _styles(kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour and hatch of each method: Retrain dark and DAU vermilion, each without a hatch, the others in turn.

    Once the colours are used up they come again with other hatches: 49 methods look different.
    """
    styles: dict[str, dict[str, Any]] = {}
    for index, (method, kind) in enumerate(kinds.items(), -1):  # Retrain comes first
        colour = {"retrain": RETRAIN, "dau": DAU}.get(kind, COLOURS[index % len(COLOURS)])
        plain = kind == "retrain" or (kind == "dau" and "dau" not in [kinds[other] for other in styles])
        styles[method] = {
            "facecolor": colour,
            "hatch": "" if plain else HATCHES[(index + index // len(COLOURS)) % len(HATCHES)],
        }
    return styles

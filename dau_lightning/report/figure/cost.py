"""What a method costs, and how near it comes to Retrain: run time against disparity, a point for each method."""

import math
import re
from typing import TYPE_CHECKING

import pandas as pd

from dau_lightning.baseline import TRAINED_BY_RECIPE
from dau_lightning.report.figure import Picture
from dau_lightning.report.figure.style import DAU, RETRAIN, STYLE, saved
from dau_lightning.report.summary import DEVIATIONS, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Run time as a share of Retrain's, against the distance to Retrain, both on logarithmic axes. "
    "Lower and further left is better."
)
BAND = "In the grey band, a method differs from Retrain by no more than a second Retrain does."  # where that was trained
LEAST = 0.01  # points; a disparity below it is drawn there, since a logarithmic axis has no zero
ROUNDS = 300  # of moving the names apart; a limit of time would place them differently on each machine


def cost_pictures(rows: pd.DataFrame) -> list[Picture]:
    """A figure for each dataset and network, a panel for each scheme and sparsity; none without a method beside a Retrain.

    A run time that was measured on another machine than Retrain's is no share of it: such a row has no point.
    """
    import matplotlib

    if not {"disparity", "time_ratio"} <= {*rows}:
        return []
    compared = rows.loc[(rows.selection == 0) & rows.disparity.notna() & rows.time_ratio.notna()]
    compared = compared.groupby(["dataset", "network", "scheme", "sparsity"], sort=False).filter(_has_a_method)
    found = []
    with matplotlib.rc_context(STYLE):
        for _, same in compared.groupby(["dataset", "network"], sort=False):
            dataset, network = same.dataset.iloc[0], same.network.iloc[0]
            name = re.sub(r"\W+", "-", f"cost-{dataset}-{network}")
            told = {CAPTION: True, BAND: (same.kind == "retrain_again").any(), DEVIATIONS: same.seed.nunique() > 1}
            caption = " ".join(sentence for sentence, holds in told.items() if holds)
            found.append(Picture(name, caption, saved(name, _figure(f"{dataset}, {network}", summary(same)))))
    return found


def _has_a_method(rows: pd.DataFrame) -> bool:
    return bool((~rows.kind.isin(TRAINED_BY_RECIPE)).any())


def _figure(title: str, numbers: pd.DataFrame) -> "Figure":
    from matplotlib.figure import Figure

    panels = [panel for _, panel in numbers.groupby(["scheme", "sparsity"], sort=False)]
    lines, columns = math.ceil(len(panels) / 2), min(2, len(panels))
    figure = Figure(figsize=(0.6 + 5.2 * columns, 0.4 + 4.4 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    places = list(zip(axes[: len(panels)], panels, strict=True))
    for axis, panel in places:
        axis.set_title(f"{panel.scheme.iloc[0]}, {panel.sparsity.iloc[0]}")
        _points(axis, panel)
    figure.suptitle(f"Cost and distance to Retrain: {title}")
    figure.draw_without_rendering()  # gives the axes their places, in whose pixels names are moved
    for axis, panel in places:
        _names(axis, panel)
    return figure


def _points(axis: "Axes", panel: pd.DataFrame) -> None:
    """A point for each method, with its deviation over seeds, and the band of the noise."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set(xscale="log", yscale="log", xlabel="run time / Retrain's", ylabel="disparity, percentage points")
    axis.grid(visible=True)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_minor_locator(NullLocator())
        side.set_major_formatter("{x:g}")
    places = _places(panel)
    times, distances, deviations, _ = zip(*places, strict=True)
    noise = panel.loc[panel.kind == "retrain_again", "disparity_mean"].clip(lower=LEAST)
    bottom, top = min(*distances, *noise, 1.0) / 2, 1.3 * max(map(sum, zip(distances, deviations, strict=True)))
    axis.set(xlim=(min(times) / 1.6, 2.2 * max(times)), ylim=(bottom, max(top, 1.0)))
    for highest in noise:
        axis.axhspan(bottom, highest, color="#dddddd", zorder=0)
    for time, distance, deviation, is_dau in places:
        marker, colour = ("D", DAU) if is_dau else ("o", RETRAIN)
        bar = [[min(deviation, distance / 2)], [deviation]]  # a logarithmic axis has no zero
        axis.errorbar(time, distance, bar, marker=marker, color=colour, ecolor="#aaaaaa", elinewidth=0.7, markersize=5)


def _names(axis: "Axes", panel: pd.DataFrame) -> None:
    """The methods' names beside their points, where they cover neither each other nor a point."""
    from adjustText import adjust_text
    from matplotlib.patheffects import withStroke

    places = _places(panel)
    names = [
        axis.text(1.07 * time, distance, method, fontsize=8, color=DAU if is_dau else RETRAIN)
        for method, (time, distance, _, is_dau) in zip(_methods(panel).method, places, strict=True)
    ]
    for name in names:
        name.set_path_effects([withStroke(linewidth=2, foreground="white")])
    times, distances, *_ = zip(*places, strict=True)
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": "#666666"}
    room = {"expand": (1.1, 1.3), "iter_lim": ROUNDS}
    adjust_text(names, times, distances, target_x=times, target_y=distances, ax=axis, **room, arrowprops=line)


def _methods(panel: pd.DataFrame) -> pd.DataFrame:
    return panel.loc[~panel.kind.isin(TRAINED_BY_RECIPE)]


def _places(panel: pd.DataFrame) -> list[tuple[float, float, float, bool]]:
    """Of each method: run time as a share of Retrain's, disparity, its deviation, whether it is our game."""
    methods = _methods(panel)
    distances, deviations = methods.disparity_mean.clip(lower=LEAST), methods.disparity_std.fillna(0.0)
    return list(zip(methods.time_ratio_mean, distances, deviations, methods.kind == "dau", strict=True))

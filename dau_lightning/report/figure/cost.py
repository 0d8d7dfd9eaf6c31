"""What a method costs, and how near it comes to Retrain: run time against disparity, a point for each method."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from dau_lightning.report.figure import Picture
from dau_lightning.report.figure.style import DAU, RETRAIN, STYLE, saved
from dau_lightning.report.summary import DEVIATIONS, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Run time as a share of Retrain's, against the distance to Retrain. Lower and further left is better. In the grey band, a "
    "method differs from Retrain by no more than a second Retrain does."
)
HIDDEN = "retrain", "retrain_again", "original"
LINE = 0.045  # height of a name, as a share of the panel
NEAR = 3.0  # a ratio of run times below which names can cover each other


class Point(NamedTuple):
    """A method: its name in tables, its kind, its run time as a share of Retrain's, its disparity."""

    method: str
    kind: str
    time: float
    distance: float


def cost_pictures(rows: pd.DataFrame) -> list[Picture]:
    """A figure for each dataset and network, a panel for each scheme and sparsity; none without a method beside a Retrain."""
    import matplotlib

    if "disparity" not in rows:
        return []
    compared = rows.loc[(rows.selection == 0) & rows.disparity.notna()]
    compared = compared.groupby(["dataset", "network", "scheme", "sparsity"], sort=False).filter(_has_a_method)
    found = []
    with matplotlib.rc_context(STYLE):
        for _, same in compared.groupby(["dataset", "network"], sort=False):
            dataset, network = same.dataset.iloc[0], same.network.iloc[0]
            name = f"cost-{dataset}-{network}".replace(" ", "-")
            caption = f"{CAPTION} {DEVIATIONS}" if same.seed.nunique() > 1 else CAPTION
            found.append(Picture(name, caption, saved(name, _figure(f"{dataset}, {network}", summary(same)))))
    return found


def _has_a_method(rows: pd.DataFrame) -> bool:
    return bool((~rows.kind.isin(HIDDEN)).any())


def _figure(title: str, numbers: pd.DataFrame) -> "Figure":
    from matplotlib.figure import Figure

    panels = [panel for _, panel in numbers.groupby(["scheme", "sparsity"], sort=False)]
    figure = Figure(figsize=(0.6 + 4.6 * len(panels), 4.0), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axis.set_title(f"{panel.scheme.iloc[0]}, {panel.sparsity.iloc[0]}")
        _panel(axis, panel)
    figure.suptitle(f"Cost and distance to Retrain: {title}")
    return figure


def _panel(axis: "Axes", panel: pd.DataFrame) -> None:
    """A point for each method, with its deviation over seeds, and the band of the noise."""
    noise = panel.loc[panel.kind == "retrain_again", "disparity_mean"]
    if len(noise):
        axis.axhspan(0, float(noise.iloc[0]), color="#dddddd", zorder=0)
    methods = panel.loc[~panel.kind.isin(HIDDEN)].sort_values("disparity_mean").to_dict("records")
    points = [Point(row["method"], row["kind"], row["time_ratio_mean"], row["disparity_mean"]) for row in methods]
    deviations = [0.0 if pd.isna(row["disparity_std"]) else float(row["disparity_std"]) for row in methods]
    for point, deviation in zip(points, deviations, strict=True):
        marker, colour = ("D", DAU) if point.kind == "dau" else ("o", RETRAIN)
        axis.errorbar(
            point.time, point.distance, deviation or None, marker=marker, color=colour, elinewidth=0.8, capsize=2, markersize=5
        )
    highest = max(point.distance + deviation for point, deviation in zip(points, deviations, strict=True))
    times = [point.time for point in points]
    axis.set(xscale="log", xlabel="run time / Retrain's", ylabel="disparity, percentage points")
    axis.set(xlim=(0.6 * min(times), 3.5 * max(times)), ylim=(0, 1.05 * highest or 1.0))
    axis.grid(visible=True)
    for point, height in zip(points, _heights(points, LINE * axis.get_ylim()[1]), strict=True):
        colour = DAU if point.kind == "dau" else RETRAIN
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": colour} if height > point.distance else None
        where = (1.15 * point.time, height)
        axis.annotate(point.method, (point.time, point.distance), where, va="center", fontsize=8, color=colour, arrowprops=line)


def _heights(points: Sequence[Point], least: float) -> list[float]:
    """Where the names of points stand, which come from below: upwards moved where a name below is nearer than `least`."""
    placed: list[tuple[float, float]] = []  # time, height
    for point in points:
        near = [height for time, height in placed if 1 / NEAR < point.time / time < NEAR]
        placed.append((point.time, max([point.distance, *(height + least for height in near)])))
    return [height for _, height in placed]

"""How all figures look: colours that colour-blind readers tell apart, lines and hatches that print tells apart."""

import io
from typing import TYPE_CHECKING, Any

from dau_lightning.evaluation.outputs import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
RETRAIN = "#333333"
DAU = "#D55E00"
# Okabe & Ito (2008), without its vermilion, which is DAU's, and its black.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "#999999")
HATCHES = ("///", "...", "\\\\\\", "xxx", "---", "|||", "++")
# The parts of a split: colour, line and marker; each is enough to tell them apart.
PARTS: dict[str, dict[str, Any]] = {
    "forget": {"color": "#D55E00", "linestyle": "-", "marker": "x"},
    "retain": {"color": "#0072B2", "linestyle": "--", "marker": "o"},
    "test": {"color": "#009E73", "linestyle": ":", "marker": "^"},
    "val": {"color": "#E69F00", "linestyle": "-.", "marker": "^"},
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.hashsalt": "dau",  # the same figure is the same file
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "figure.titlesize": 10,
    "legend.frameon": False,
}


def model_panels(outputs: Outputs, height: float, sharey: bool) -> "tuple[Figure, dict[str, Axes]]":
    """A figure with a panel for each model that is compared, under its title; the panels by kind of model."""
    from matplotlib.figure import Figure

    stages = outputs.stages
    figure = Figure(figsize=(1 + 2.6 * len(stages), height), layout="constrained")
    (axes,) = figure.subplots(1, len(stages), sharey=sharey, squeeze=False)
    for axis, title in zip(axes, stages.values(), strict=True):
        axis.set_title(title)
    return figure, dict(zip(stages, axes, strict=True))


def saved(name: str, figure: "Figure") -> dict[str, bytes]:
    """A figure as PNG and SVG, by file name."""
    files: dict[str, bytes] = {}
    for suffix in FORMATS:
        content = io.BytesIO()
        figure.savefig(content, format=suffix, dpi=160, metadata={"Date": None} if suffix == "svg" else None)
        files[f"{name}.{suffix}"] = content.getvalue()
        figure.set_layout_engine("none")  # everything has its place now; finding it takes half of the time
    return files

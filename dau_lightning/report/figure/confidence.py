"""Histograms of the probability of the label, for forget, retain and test images, for each model."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import PARTS, model_panels

BINS = np.linspace(0, 1, 26)


def draw(outputs: Outputs) -> Figure:
    """A panel for each model; shares on a logarithmic scale, since most images lie in the last bin."""
    parts = {"retain": "retain", "test": outputs.unseen, "forget": "forget"}
    figure, panels = model_panels(outputs, 2.9, sharey=True)
    smallest = min(1 / len(outputs.targets(part)) for part in parts.values())
    for model, axis in panels.items():
        for name, part in parts.items():
            values = outputs.confidence(model, part)
            shares = np.histogram(values, BINS)[0] / len(values)
            style = {key: PARTS[name][key] for key in ("color", "linestyle")}
            shown = f"{name}, {len(values):,}" + (" of the class" if part == "test_forget" else "")
            if name == "forget":
                axis.stairs(shares, BINS, fill=True, color=style["color"], alpha=0.25)
            axis.stairs(shares, BINS, linewidth=1.6, label=shown, baseline=None, **style)
        axis.set(xlabel="probability of the label", yscale="log", ylim=(smallest / 2, 1.2))
    first = figure.axes[0]
    first.set_ylabel("share of the images")
    first.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=len(parts))
    figure.suptitle("Confidence")
    return figure

"""Histograms of the probability of the label, for forget, retain and test images, before, after and of Retrain."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import PARTS

BINS = np.linspace(0, 1, 26)


def draw(evidence: Outputs) -> Figure:
    """A panel a model; shares on a logarithmic scale, since most images lie in the last bin."""
    parts = {"retain": "retain", "test": evidence.unseen, "forget": "forget"}
    stages = evidence.stages
    figure = Figure(figsize=(1 + 2.6 * len(stages), 2.9), layout="constrained")
    (axes,) = figure.subplots(1, len(stages), sharey=True, squeeze=False)
    smallest = min(1 / len(evidence.targets(part)) for part in parts.values())
    for axis, (model, label) in zip(axes, stages.items(), strict=True):
        for name, part in parts.items():
            values = evidence.confidence(model, part)
            shares = np.histogram(values, BINS)[0] / len(values)
            style = {key: PARTS[name][key] for key in ("color", "linestyle")}
            shown = f"{name}, {len(values):,}" + (" of the class" if part == "test_forget" else "")
            if name == "forget":
                axis.stairs(shares, BINS, fill=True, color=style["color"], alpha=0.25)
            axis.stairs(shares, BINS, linewidth=1.6, label=shown, baseline=None, **style)
        axis.set_title(label)
        axis.set_xlabel("probability of the label")
        axis.set_yscale("log")
        axis.set_ylim(smallest / 2, 1.2)
    axes[0].set_ylabel("share of the images")
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(parts))
    figure.suptitle("Confidence")
    return figure

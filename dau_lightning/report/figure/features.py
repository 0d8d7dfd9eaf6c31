"""Plots the features of forget, val and retain images on their first two principal components, one panel per model."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import PARTS, model_panels

# The last one on top.
LOOKS = {"retain": {"s": 7, "alpha": 0.35}, "val": {"s": 12, "alpha": 0.8}, "forget": {"s": 14, "alpha": 0.8}}


def draw(outputs: Outputs) -> Figure:
    """Draw a panel per model, each with its own components: networks that were trained separately share none."""
    figure, panels = model_panels(outputs, 3.2, sharey=False)
    for model, axis in panels.items():
        features = {part: outputs.arrays[f"{model}/{part}/features"].astype(np.float32) for part in LOOKS}
        with np.errstate(invalid="ignore"):  # a network whose features are all the same
            plane = PCA(2, svd_solver="covariance_eigh").fit(np.concatenate(list(features.values())))
        for part, values in features.items():
            x, y = plane.transform(values).T
            style = {name: PARTS[part][name] for name in ("marker", "color")} | LOOKS[part]
            axis.scatter(x, y, label=f"{part}, {len(values):,}", linewidths=0.9, rasterized=True, **style)
        first, second = np.nan_to_num(plane.explained_variance_ratio_)
        labels = {"xlabel": f"{100 * first:.0f}% of the variance", "ylabel": f"{100 * second:.0f}% of the variance"}
        axis.set(xticks=[], yticks=[], **labels)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LOOKS), markerscale=1.6)
    figure.suptitle("Features")
    return figure

"""Pictures of an audit: ROC of RMIA on logarithmic axes, its scores of single images, and the images that it still tells."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from dau_lightning.report.figure import Picture
from dau_lightning.report.figure.style import COLOURS, DAU, PARTS, RETRAIN, STYLE, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODELS: dict[str, dict[str, Any]] = {
    "method": {"label": "unlearned", "color": DAU, "linestyle": "-"},
    "retrain": {"label": "Retrain", "color": RETRAIN, "linestyle": "--"},
    "original": {"label": "original", "color": COLOURS[5], "linestyle": ":"},
}
RATES = 0.001, 0.01  # false-positive rates of interest
CAPTION = (
    "RMIA. Left: forgotten images found, over unseen images called forgotten by mistake; the line should lie on Retrain's. "
    "Right: how many unseen images each image beats; forgotten ones at the right end are still exposed."
)
SHEET = "The forgotten images that RMIA still tells best, with their label and their score between 0 and 1."


def exposure_pictures(scores: Mapping[str, np.ndarray], class_names: Sequence[str]) -> list[Picture]:
    """The pictures of an audit with RMIA; none without it.

    Args:
        scores: the arrays in `audit.safetensors`.
        class_names: in the order of the targets.
    """
    import matplotlib

    if "rmia/method/forget" not in scores:
        return []
    with matplotlib.rc_context(STYLE):
        drawn = {"exposure": (CAPTION, _curves(scores)), "exposed": (SHEET, _sheet(scores, class_names))}
        return [Picture(name, caption, saved(name, figure)) for name, (caption, figure) in drawn.items()]


def _curves(scores: Mapping[str, np.ndarray]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, style in MODELS.items():
        if f"rmia/{kind}/forget" in scores:
            _curve(left, scores[f"rmia/{kind}/forget"], scores[f"rmia/{kind}/unseen"], style)
    lowest = 1 / len(scores["rmia/method/unseen"])
    left.plot([lowest, 1], [lowest, 1], color="#999999", linewidth=0.8)
    for rate in RATES:
        if rate >= lowest:
            left.axvline(rate, color="#cccccc", linewidth=0.8, zorder=0)
    limits = {"xlim": (lowest, 1), "ylim": (lowest, 1.05)}
    left.set(xscale="log", yscale="log", xlabel="unseen images called forgotten", ylabel="forgotten images found", **limits)
    left.legend(loc="lower right", title="AUC, not weighted by class", fontsize=8, title_fontsize=8)
    for name, part in (("test", "unseen"), ("forget", "forget")):
        values = scores[f"rmia/method/{part}"]
        shown = values[~np.isnan(values)]
        style = {key: PARTS[name][key] for key in ("color", "linestyle")}
        counts, edges = np.histogram(shown, np.linspace(0, 1, 21))
        right.stairs(100 * counts / len(shown), edges, linewidth=1.6, label=f"{part}, {len(shown):,}", **style)
    right.set(xlabel="score of RMIA, unlearned model", ylabel="percent of the images")
    right.set_ylim(0, 1.25 * right.get_ylim()[1])  # room for the legend
    right.legend(loc="upper left", ncols=2, fontsize=8)
    return figure


def _curve(axis: "Axes", forget: np.ndarray, unseen: np.ndarray, style: Mapping[str, Any]) -> None:
    forget = forget[~np.isnan(forget)]
    members, values = np.repeat([1, 0], [len(forget), len(unseen)]), np.concatenate([forget, unseen])
    false, true, _ = roc_curve(members, values)
    label = f"{style['label']}: {100 * roc_auc_score(members, values):.1f}"
    axis.plot(false, true, drawstyle="steps-post", linewidth=1.6, **{**style, "label": label})


def _sheet(scores: Mapping[str, np.ndarray], class_names: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    images = scores["exposed/images"].transpose(0, 2, 3, 1)
    figure = Figure(figsize=(1.1 * len(images), 1.7), layout="constrained")
    (axes,) = figure.subplots(1, len(images), squeeze=False)
    for axis, image, score, target in zip(axes, images, scores["exposed/scores"], scores["exposed/targets"], strict=True):
        axis.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(class_names[target][:12], fontsize=8)
        axis.set_xlabel(f"{score:.2f}", fontsize=8)
        axis.set(xticks=[], yticks=[])
    return figure

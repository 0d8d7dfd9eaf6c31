"""ROC curves of attacks by one statistic each: forgotten against unseen images, before, after and for Retrain."""

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.metric.mia import STATISTICS
from dau_lightning.report.figure.style import COLOURS, DAU, model_panels

ATTACKS = {"confidence": 1, "entropy": -1, "modified_entropy": -1}  # of one number a sample, with its sign for members
STYLES: dict[str, dict[str, Any]] = {
    "confidence": {"color": DAU, "linestyle": "-"},
    "entropy": {"color": COLOURS[5], "linestyle": "--"},
    "modified_entropy": {"color": COLOURS[2], "linestyle": ":"},
}


def draw(outputs: Outputs) -> Figure:
    """A panel for each model: how many forgotten images a threshold calls members, over how many unseen ones."""
    figure, panels = model_panels(outputs, 3.1, sharey=True)
    for model, axis in panels.items():
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        for attack in ATTACKS:
            members, scores = scored(outputs, model, attack)
            false, true, _ = roc_curve(members, scores)
            area = roc_auc_score(members, scores)
            axis.plot(false, true, linewidth=1.6, label=f"{attack.replace('_', ' ')}: {area:.2f}", **STYLES[attack])
        axis.set(xlabel="unseen images called member", aspect="equal")
        axis.legend(loc="lower right", title="AUC, not weighted by class", fontsize=7, title_fontsize=7)
    figure.axes[0].set_ylabel("forgotten images called member")
    count = len(outputs.targets(outputs.unseen))
    unseen = f"{count:,} test images" + (" of the class" if outputs.unseen == "test_forget" else "")
    figure.suptitle(f"Attacks: {len(outputs.targets('forget')):,} forgotten against {unseen}")
    return figure


def scored(outputs: Outputs, model: str, attack: str) -> tuple[np.ndarray, np.ndarray]:
    """For every forgotten and every unseen image: 1 for a forgotten one, else 0; and a score that is high for members."""
    pairs = ((outputs.probabilities(model, part), outputs.targets(part)) for part in ("forget", outputs.unseen))
    scores = [STATISTICS[attack](*map(torch.from_numpy, pair)) for pair in pairs]
    return np.repeat([1, 0], list(map(len, scores))), ATTACKS[attack] * np.concatenate(scores)

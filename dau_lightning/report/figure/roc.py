"""ROC curves of attacks by one statistic each: forgotten against unseen images, before, after and for Retrain."""

import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.metric.mia import STATISTICS
from dau_lightning.report.figure.style import COLOURS, DAU

# Of Figure 2 those with one number a sample, and whether members have high ones.
ATTACKS = {"confidence": True, "entropy": False, "modified_entropy": False}
STYLES = {
    "confidence": {"color": DAU, "linestyle": "-"},
    "entropy": {"color": COLOURS[5], "linestyle": "--"},
    "modified_entropy": {"color": COLOURS[2], "linestyle": ":"},
}


def draw(evidence: Outputs) -> Figure:
    """A panel a model: how many forgotten images a threshold calls members, over how many unseen ones."""
    stages = evidence.stages
    figure = Figure(figsize=(1 + 2.6 * len(stages), 3.1), layout="constrained")
    (axes,) = figure.subplots(1, len(stages), sharey=True, squeeze=False)
    for axis, (model, label) in zip(axes, stages.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
        for attack in ATTACKS:
            members, scores = scored(evidence, model, attack)
            false, true, _ = roc_curve(members, scores)
            area = roc_auc_score(members, scores)
            axis.plot(false, true, linewidth=1.6, label=f"{attack.replace('_', ' ')}: {area:.2f}", **STYLES[attack])
        axis.set_title(label)
        axis.set_xlabel("unseen images called member")
        axis.set_aspect("equal")
        axis.legend(loc="lower right", title="AUC", fontsize=7, title_fontsize=7)
    axes[0].set_ylabel("forgotten images called member")
    count = len(evidence.targets(evidence.unseen))
    unseen = f"{count:,} test images" + (" of the class" if evidence.unseen == "test_forget" else "")
    figure.suptitle(f"Attacks: {len(evidence.targets('forget')):,} forgotten against {unseen}")
    return figure


def scored(evidence: Outputs, model: str, attack: str) -> tuple[list[int], list[float]]:
    """For every forgotten and unseen image whether it is a member of `D`, and a score that is high for members."""
    members: list[int] = []
    scores: list[float] = []
    for part, member in (("forget", 1), (evidence.unseen, 0)):
        probabilities = torch.from_numpy(evidence.probabilities(model, part))
        values = STATISTICS[attack](probabilities, torch.from_numpy(evidence.targets(part)))
        scores += (values if ATTACKS[attack] else -values).tolist()
        members += [member] * len(values)
    return members, scores

"""UA, MIA, RA, TA and the attacker's accuracy over the steps of the unlearning, and Retrain's numbers as dashed lines."""

from matplotlib.figure import Figure

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import DAU, RETRAIN

PANELS = {"UA": "UA", "MIA": "MIA-efficacy", "RA": "RA", "TA": "TA", "attacker": "attacker's accuracy"}


def draw(outputs: Outputs) -> Figure | None:
    """A panel for each number, with its own scale; None where nothing was measured during the unlearning."""
    arrays = outputs.arrays
    if "dynamics/step" not in arrays:
        return None
    shown = {name: title for name, title in PANELS.items() if f"dynamics/{name}" in arrays}
    figure = Figure(figsize=(1 + 1.9 * len(shown), 2.5), layout="constrained")
    (axes,) = figure.subplots(1, len(shown), squeeze=False)
    aim = "Retrain (attacker: chance)" if "attacker" in shown else "Retrain"
    for axis, (name, title) in zip(axes, shown.items(), strict=True):
        steps, values, label = arrays["dynamics/step"], arrays[f"dynamics/{name}"], outputs.labels[outputs.method]
        axis.plot(steps, values, color=DAU, marker="o", markersize=3, linewidth=1.4, label=label)
        reference = [50.0] if name == "attacker" else list(arrays.get(f"dynamics/reference/{name}", []))
        for level in reference:
            axis.axhline(level, color=RETRAIN, linestyle="--", linewidth=1.2, label=aim)
        low, high = min([*values, *reference]), max([*values, *reference])
        margin = max(0.5, 0.08 * (high - low))  # what moves by less than a point looks still
        axis.set(title=title, xlabel="step", ylim=(low - margin, high + margin))
        axis.grid(axis="y")
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("percent")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    counts = ", ".join(f"{len(outputs.targets(part)):,} {part.split('_')[0]}" for part in ("forget", "retain", "test_retain"))
    figure.suptitle(f"During the unlearning ({counts} images)")
    return figure

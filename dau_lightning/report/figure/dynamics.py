"""Plots UA, MIA, RA, TA and the attacker's accuracy over the steps of the unlearning, beside Retrain's and beside chance."""

from matplotlib.figure import Figure

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import DAU, RETRAIN

PANELS = {"UA": "UA", "MIA": "MIA", "RA": "RA", "TA": "TA", "attacker": "attacker's accuracy"}


def draw(outputs: Outputs) -> Figure | None:
    """Draw a panel for each number, with its own scale; return None if the run measured nothing during the unlearning."""
    arrays = outputs.arrays
    if "dynamics/step" not in arrays:
        return None
    shown = {name: title for name, title in PANELS.items() if f"dynamics/{name}" in arrays}
    figure = Figure(figsize=(1 + 1.9 * len(shown), 2.5), layout="constrained")
    (axes,) = figure.subplots(1, len(shown), squeeze=False)
    for axis, (name, title) in zip(axes, shown.items(), strict=True):
        steps, values, method = arrays["dynamics/step"], arrays[f"dynamics/{name}"], outputs.labels[outputs.method]
        axis.plot(steps, values, color=DAU, marker="o", markersize=3, linewidth=1.4, label=method)
        attacker = name == "attacker"
        reference = [50.0] if attacker else list(arrays.get(f"dynamics/reference/{name}", []))
        for level in reference:
            label, style = ("chance", ":") if attacker else ("Retrain", "--")
            axis.axhline(level, color=RETRAIN, linestyle=style, linewidth=1.2, label=label)
        low, high = min([*values, *reference]), max([*values, *reference])
        margin = max(0.5, 0.08 * (high - low))  # show at least one point, so that small changes look small
        axis.set(title=title, xlabel="step", ylim=(low - margin, high + margin))
        axis.grid(axis="y")
        axis.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("percent")
    lines = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=3)
    counts = ", ".join(f"{len(outputs.targets(part)):,} {part.split('_')[0]}" for part in ("forget", "retain", "test_retain"))
    figure.suptitle(f"During the unlearning ({counts} images)")
    return figure

"""A sheet of forgotten images: their label, and the predictions before and after, and Retrain's."""

from matplotlib.figure import Figure

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import DAU, RETRAIN

COLUMNS = 8
LINE = 0.15  # of the height of an image
WIDEST = 10  # letters of a name


def draw(evidence: Outputs) -> Figure:
    """Below each image a line a model: class and its probability, in colour and with "(!)" where it is not the label."""
    images = evidence.arrays["forget/thumbnails"].transpose(0, 2, 3, 1)
    shown = evidence.arrays["forget/shown"]
    targets = evidence.targets("forget")[shown]
    models = {evidence.labels[model]: evidence.probabilities(model, "forget")[shown] for model in evidence.stages}
    columns, rows = min(COLUMNS, len(images)), -(-len(images) // COLUMNS)
    step = 1.35 + LINE * len(models)
    figure = Figure(figsize=(max(3, 1.15 * columns * 1.1), 1.1 * rows * step + 0.4))
    axis = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.3 / figure.get_figheight()))  # one for all: fifty would take seconds
    axis.set(xlim=(-0.05, 1.15 * columns - 0.1), ylim=(rows * step - 0.25, -0.2), aspect="equal")
    axis.set_axis_off()
    for index, image in enumerate(images):
        x, y = 1.15 * (index % COLUMNS), step * (index // COLUMNS)
        pixels = image if image.shape[2] == 3 else image[..., 0]
        axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(x, x + 1, y + 1, y), interpolation="nearest")
        label = {"ha": "center", "fontsize": 8, "fontweight": "bold"}
        axis.text(x + 0.5, y - 0.04, _short(evidence.class_names[targets[index]]), va="bottom", **label)
        for line, (name, probabilities) in enumerate(models.items()):
            found = int(probabilities[index].argmax())
            right = found == targets[index]
            said = f"{_short(name)}: {_short(evidence.class_names[found])} {100 * probabilities[index, found]:.0f}%"
            where = {"x": x + 0.5, "y": y + 1.05 + LINE * line, "ha": "center", "va": "top", "fontsize": 6.5}
            axis.text(s=said + ("" if right else " (!)"), color=RETRAIN if right else DAU, **where)
    axis.set(xlim=(-0.05, 1.15 * columns - 0.1), ylim=(rows * step - 0.25, -0.2))  # imshow sets its own
    figure.suptitle(f"{len(images)} forgotten images")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= WIDEST else name[: WIDEST - 1] + "…"

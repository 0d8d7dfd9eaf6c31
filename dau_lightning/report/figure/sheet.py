"""A sheet of forgotten images with their label and the predictions of the original, the unlearned model and Retrain."""

from matplotlib.figure import Figure

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import DAU, RETRAIN

PER_LINE = 8  # images
LINE = 0.15  # height of a line of text; an image is 1 high
LONGEST = 10  # letters of a name


def draw(outputs: Outputs) -> Figure:
    """Below each image a line for each model: the predicted class and its probability, marked "(!)" where it is wrong."""
    images = outputs.arrays["forget/thumbnails"].transpose(0, 2, 3, 1)
    shown = outputs.arrays["forget/shown"]
    targets = outputs.targets("forget")[shown]
    models = {outputs.labels[model]: outputs.probabilities(model, "forget")[shown] for model in outputs.stages}
    columns, rows = min(PER_LINE, len(images)), -(-len(images) // PER_LINE)
    step = 1.35 + LINE * len(models)
    figure = Figure(figsize=(max(3, 1.15 * columns * 1.1), 1.1 * rows * step + 0.4))
    axis = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.3 / figure.get_figheight()))  # one for all: fifty would take seconds
    axis.set(xlim=(-0.05, 1.15 * columns - 0.1), ylim=(rows * step - 0.25, -0.2), aspect="equal")
    axis.set_axis_off()
    for index, image in enumerate(images):
        x, y = 1.15 * (index % PER_LINE), step * (index // PER_LINE)
        pixels = image if image.shape[2] == 3 else image[..., 0]
        axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(x, x + 1, y + 1, y), interpolation="nearest")
        label = {"ha": "center", "fontsize": 8, "fontweight": "bold"}
        axis.text(x + 0.5, y - 0.04, _short(outputs.class_names[targets[index]]), va="bottom", **label)
        for line, (name, probabilities) in enumerate(models.items()):
            found = int(probabilities[index].argmax())
            right = found == targets[index]
            said = f"{_short(name)}: {_short(outputs.class_names[found])} {100 * probabilities[index, found]:.0f}%"
            where = {"x": x + 0.5, "y": y + 1.05 + LINE * line, "ha": "center", "va": "top", "fontsize": 6.5}
            axis.text(s=said + ("" if right else " (!)"), color=RETRAIN if right else DAU, **where)
    axis.set(xlim=(-0.05, 1.15 * columns - 0.1), ylim=(rows * step - 0.25, -0.2))  # imshow sets its own
    figure.suptitle(f"{len(images)} forgotten images")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"

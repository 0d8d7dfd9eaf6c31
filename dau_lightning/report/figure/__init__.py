"""The pictures of one run, a file each: `draw(outputs)` returns a figure, or None where the run has nothing to show in it."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.style import STYLE, saved

# In the order of the page, with what a reader should look for.
CAPTIONS = {
    "dynamics": "The course of the unlearning. It is good where a line ends on the dashed one.",
    "confidence": "How sure the models are of the true label. Forgotten images should look like test images.",
    "roc": "Telling forgotten from unseen images by one statistic. Chance is the diagonal, an area (AUC) of 0.5.",
    "features": "Features in the plane of their two main directions. Forgotten images should lie where unseen ones do.",
    "sheet": "Some of the forgotten images, their label, and what the models predict, with (!) where it is another class.",
}


class Picture(NamedTuple):
    """A figure: its name, what to look for, and its files by name."""

    name: str
    caption: str
    files: dict[str, bytes]


def pictures(outputs: Outputs) -> Iterator[Picture]:
    """Draw every figure for which there are outputs; matplotlib is imported only now."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        for name, caption in CAPTIONS.items():
            if figure := import_module(f"{__name__}.{name}").draw(outputs):
                yield Picture(name, caption, saved(name, figure))

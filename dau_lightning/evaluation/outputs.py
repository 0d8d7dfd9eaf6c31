"""One file with the outputs of a run's models on some samples, from which figures can be drawn at any time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from dau_lightning.storage.atomic import set_aside
from dau_lightning.storage.seal import load_tensors, save_tensors

FILE = "outputs.safetensors"
SAMPLES = 1000  # the most samples of a part, drawn by the seed: a figure cannot show more
FEATURES = 300  # the most of these samples whose features are kept
SHOWN = 24  # the most forget images that are kept as thumbnails
THUMBNAIL = 64  # pixels of a thumbnail's longer side at most

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outputs:
    """The outputs of the models of one run on the same samples.

    Attributes:
        arrays: by name, `MODEL/PART/logits` float16 `(N, K)`, `MODEL/PART/features` float16 `(M, D)`, `PART/targets` int64
            `(N,)`, `forget/thumbnails` uint8 `(S, C, H, W)` and `forget/shown` int64 `(S,)`, the thumbnails' indices among the
            samples. If the trajectory was measured, also `dynamics/step` `(T,)`, `dynamics/NAME` `(T,)` in percent, and
            `dynamics/reference/NAME` `(1,)`, Retrain's value on the same samples.
        labels: names of the models by kind, in the order of the table: `{"retrain": "Retrain", ...}`.
        method: the kind of the unlearned model.
        class_names: names of the classes, in the order of the targets.
    """

    arrays: dict[str, Array]
    labels: dict[str, str]
    method: str
    class_names: list[str]

    def logits(self, model: str, part: str) -> Array:
        """Logits float32 `(N, K)` of a model on a part."""
        return self.arrays[f"{model}/{part}/logits"].astype(np.float32)

    def probabilities(self, model: str, part: str) -> Array:
        """Probabilities float32 `(N, K)` of a model on a part."""
        return special.softmax(self.logits(model, part), axis=1)

    def confidence(self, model: str, part: str) -> Array:
        """The probability of the true label, float32 `(N,)`."""
        targets = self.targets(part)
        return self.probabilities(model, part)[np.arange(len(targets)), targets]

    def targets(self, part: str) -> Array:
        """Labels int64 `(N,)`."""
        return self.arrays[f"{part}/targets"]

    @property
    def parts(self) -> list[str]:
        """The parts that have samples."""
        return [name.removesuffix("/targets") for name in self.arrays if name.endswith("/targets")]

    @property
    def unseen(self) -> str:
        """The part of the test set with which forget images are compared.

        If only whole classes were forgotten, it holds the test images of these classes; otherwise those of the other classes.
        """
        retained = np.concatenate([self.targets(part) for part in ("retain", "test_retain") if part in self.parts])
        whole = "test_forget" in self.parts and not np.isin(self.targets("forget"), retained).any()
        return "test_forget" if whole else "test_retain"

    @property
    def stages(self) -> dict[str, str]:
        """The names of the models to compare, by kind: before, after, and the reference if there is one."""
        kinds = {"original": "before", self.method: "after"} | {"original": "before", "retrain": "reference"}
        titles = {kind: (self.labels[kind], stage) for kind, stage in kinds.items() if kind in self.labels}
        return {kind: label if label.lower() == stage else f"{label} ({stage})" for kind, (label, stage) in titles.items()}

    def write(self, folder: Path) -> None:
        """Write the outputs into a run folder."""
        about = {name: value for name, value in vars(self).items() if name != "arrays"}
        save_tensors(folder / FILE, self.arrays, {"about": json.dumps(about)})


def read_outputs(folder: Path) -> Outputs | None:
    """The outputs in a run folder, or None if there are none. A file that cannot be used is renamed, with a warning."""
    path = folder / FILE
    try:
        arrays, about = load_tensors(path, "numpy")
        plain = json.loads(about["about"])
        return Outputs(dict(sorted(arrays.items())), plain["labels"], plain["method"], plain["class_names"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        set_aside(path, f"it does not hold the outputs of a run: {error}; overwrite=true makes it again")
        return None

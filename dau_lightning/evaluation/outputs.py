"""What a run keeps of single samples, so that its pictures can be drawn from one file at any time."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from dau_lightning.storage.atomic import set_aside

FILE = "evidence.safetensors"
SAMPLES = 1000  # of each part at most, drawn by the seed: what a picture can show
FEATURES = 300  # the first of them whose features are kept
SHOWN = 24  # forget images that are kept, as thumbnails
THUMBNAIL = 64  # pixels of their longer side at most

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outputs:
    """The outputs of the models of one run on the same samples.

    Attributes:
        arrays: by name. `MODEL/PART/logits` float16 `(N, K)`, `MODEL/PART/features` float16 `(M, D)`, `PART/targets` int64
            `(N,)`, `forget/thumbnails` uint8 `(S, C, H, W)`; and, where dynamics were measured, `dynamics/step` `(T,)` and
            `dynamics/NAME` `(T,)` in percent, with `dynamics/reference/NAME` `(1,)` of Retrain on the same samples.
        labels: of the models by kind, in the order of the table: `{"retrain": "Retrain", ...}`.
        method: the kind of the unlearned model.
        title: what was forgotten, in words.
        class_names: in the order of the targets.
        ids: of the thumbnails.
    """

    arrays: dict[str, Array]
    labels: dict[str, str]
    method: str
    title: str
    class_names: list[str]
    ids: list[str]

    def logits(self, model: str, part: str) -> Array:
        """Logits float32 `(N, K)` of a model on a part."""
        return self.arrays[f"{model}/{part}/logits"].astype(np.float32)

    def targets(self, part: str) -> Array:
        """Labels int64 `(N,)`."""
        return self.arrays[f"{part}/targets"]

    @cached_property
    def parts(self) -> list[str]:
        """The parts that have samples."""
        return [name.removesuffix("/targets") for name in self.arrays if name.endswith("/targets")]

    @property
    def unseen(self) -> str:
        """Test images to compare the forget set with: of the forgotten classes where all else was kept, else the others."""
        retained = np.concatenate([self.targets(part) for part in ("retain", "test_retain") if part in self.parts])
        whole = "test_forget" in self.parts and not np.isin(self.targets("forget"), retained).any()
        return "test_forget" if whole else "test_retain"

    @property
    def stages(self) -> dict[str, str]:
        """Kinds of the models to compare, with what they are called: before, after, and the reference where there is one."""
        kinds = {"original": "before", self.method: "after"} | {"original": "before", "retrain": "reference"}
        titles = {kind: (self.labels[kind], what) for kind, what in kinds.items() if kind in self.labels}
        return {kind: label if label.lower() == what else f"{label} ({what})" for kind, (label, what) in titles.items()}

    def about(self) -> dict[str, str]:
        """All but the arrays, as the metadata of a file, with a hash of everything."""
        about = json.dumps({name: value for name, value in vars(self).items() if name not in ("arrays", "parts")})
        return {"about": about, "sha256": _seal(about, self.arrays)}


def read_outputs(folder: Path) -> Outputs | None:
    """The evidence in a run folder; None where there is none. A file that cannot be used is set aside, with a warning."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if metadata["sha256"] != _seal(metadata["about"], arrays):
            raise ValueError("its bytes changed")
        return Outputs(arrays, **json.loads(metadata["about"]))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        set_aside(path, f"it is no evidence of a run: {error}; overwrite=true makes it again")
        return None


def _seal(about: str, arrays: Mapping[str, Array]) -> str:
    result = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        result.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return result.hexdigest()


def softmax(logits: Array) -> Array:
    """Probabilities float32 `(N, K)`.

    >>> softmax(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def confidence(logits: Array, targets: Array) -> Array:
    """The probability of the label `(N,)`."""
    return softmax(logits)[np.arange(len(targets)), targets]

"""Made-up outputs of a run, random and class by class."""

import numpy as np
import pytest

from dau_lightning.evaluation.outputs import Outputs

SIZES = {"retain": 60, "forget": 24, "test_retain": 40, "val": 20}
LABELS = {"retrain": "Retrain", "original": "Original", "dau": "DAU"}


def make(**sizes: int) -> Outputs:
    """Three classes; the original is sure of what it has seen, the others less so of the forget set."""
    draws = np.random.default_rng(0)
    arrays = {}
    for part, size in (SIZES | sizes).items():
        targets = draws.integers(3, size=size)
        if "test_forget" in sizes:  # the last class goes
            targets = np.full(size, 2) if "forget" in part else targets % 2
        arrays[f"{part}/targets"] = targets
        for kind in LABELS:
            seen = part == "retain" or (part == "forget" and kind == "original")
            logits = draws.normal(0, 1, (size, 3)) + (8 if seen else 2) * np.eye(3)[targets]
            arrays[f"{kind}/{part}/logits"] = logits.astype(np.float16)
            if part in ("retain", "forget", "val"):
                arrays[f"{kind}/{part}/features"] = draws.normal(0, [4, 2, 1, 0.5], (min(size, 20), 4)).astype(np.float16)
    arrays["forget/shown"] = np.arange(10)
    arrays["forget/thumbnails"] = draws.integers(0, 256, (10, 3, 8, 6), dtype=np.uint8)
    arrays |= {"dynamics/step": np.array([0, 5, 10])}
    arrays |= {f"dynamics/{name}": np.array([1.0, 4.0, 3.0]) for name in ("UA", "MIA", "RA", "TA", "attacker")}
    arrays |= {f"dynamics/reference/{name}": np.array([3.5]) for name in ("UA", "MIA", "RA", "TA")}
    return Outputs(arrays, dict(LABELS), "dau", ["cat", "a very long name", "dog"])


@pytest.fixture
def outputs() -> Outputs:
    return make()


@pytest.fixture
def classwise() -> Outputs:
    return make(test_forget=15)


@pytest.fixture
def alone(outputs) -> Outputs:
    """Without Retrain, without dynamics, grey images."""
    arrays = {name: array for name, array in outputs.arrays.items() if not name.startswith(("retrain", "dynamics"))}
    arrays["forget/thumbnails"] = arrays["forget/thumbnails"][:, :1]
    labels = {kind: label for kind, label in outputs.labels.items() if kind != "retrain"}
    return Outputs(arrays, labels, "dau", outputs.class_names)

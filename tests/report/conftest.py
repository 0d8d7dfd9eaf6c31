"""Finished runs of made-up rows."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from omegaconf import OmegaConf

from dau_lightning.metric.disparity import COLUMNS, disparity, gaps
from tests.composed import composed

RETRAIN = np.array([[5.0, 14.0, 100.0, 94.0], [7.0, 12.0, 99.0, 95.0], [6.0, 13.0, 100.0, 93.0]])
METHOD = np.array([[3.0, 8.0, 99.5, 93.0], [9.0, 15.0, 97.5, 96.0], [6.5, 12.0, 99.0, 94.5]])
SECONDS = np.array([100.0, 150.0, 120.0]), np.array([10.0, 30.0, 20.0])
ATTACKS = ("confidence", "entropy", "modified_entropy", "probability")
LABELS = {
    "dau": "DAU",
    "finetune": "FT",
    "gradient_ascent": "GA",
    "fisher": "FF",
    "influence": "IU",
    "retrain_again": "Retrain 2",
}


@cache
def settings_of(dataset: str, scheme: str, sparsity: str, baseline: str) -> dict[str, Any]:
    """The settings of a run of the real yaml; not to be changed."""
    choices = {"dataset": dataset, "scheme": scheme, "sparsity": sparsity, "baseline": baseline}
    config = composed(*(f"{group}={choice}" for group, choice in choices.items()))
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


@pytest.fixture
def made() -> SimpleNamespace:
    """The made-up rows: (seed, column) of Retrain and of every method, and their seconds."""
    return SimpleNamespace(retrain=RETRAIN, method=METHOD, retrain_seconds=SECONDS[0], seconds=SECONDS[1])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """See `writer`."""
    return writer(tmp_path)


def writer(root: Path) -> Callable[..., Path]:
    """Writes the run of a method with a seed; keywords change what stands in `result.json`."""

    def call(seed: int = 0, name: str = "dau", folder: str = "runs", **changes: Any) -> Path:
        scheme, sparsity = changes.get("scheme", "random"), changes.get("sparsity", "dense")
        shift = 0 if sparsity == "dense" else 0.5
        numbers = {"retrain": RETRAIN[seed] - shift, "original": RETRAIN[seed] + 1, name: METHOD[seed] + shift}
        rows: dict[str, dict[str, Any]] = {}
        for kind, values in numbers.items():
            seconds = float(SECONDS[kind == name][seed])
            attacks = {attack: float(values[1]) + place for place, attack in enumerate(ATTACKS)}
            row = dict(zip(COLUMNS, map(float, values), strict=True)) | {"TA_forgotten": None, "attacks": attacks}
            row |= {"gaps": gaps(row, rows.get("retrain", row)), "disparity": disparity(row, rows.get("retrain", row))}
            rows[kind] = {"label": LABELS.get(kind, kind.title()), **row, "seconds": seconds}
            if sparsity != "dense":
                rows[kind]["sparsity"] = 95.0
        amount = changes.pop("amount", 0.95)
        ablation = {"regulariser_weight": changes["regulariser_weight"]} if "regulariser_weight" in changes else {}
        settings = {
            "baseline": {"lr": changes.pop("lr", 0.1), "regulariser_weight": changes.pop("regulariser_weight", 0.001)},
            "sparsity": {} if sparsity == "dense" else {"amount": amount, "rewind_epochs": changes.pop("rewind_epochs", 8)},
            "scheme": {"fraction": 0.1} if scheme == "random" else {"target": None},
            "dataset": {"train_limit": None, "test_limit": None, "seed": seed},
            "recipe": {"epochs": changes.pop("epochs", 40)},
            "trainer": {"precision": changes.pop("precision", "32-true")},
            "wandb": {"mode": "auto", "project": "tests"},
        }
        if changes.get("dataset") == "cifar10":  # the paper's setting
            whole = settings_of("cifar10", scheme, sparsity, name)
            settings = whole | {"baseline": whole["baseline"] | ablation}
        for kind, row in changes.pop("rows", {}).items():
            rows[kind] = rows.get(kind, {}) | row
        result = {"dataset": "digits", "network": "convnet", "scheme": "random", "sparsity": "dense", "baseline": name}
        result |= {"seed": seed, "split_hash": f"{scheme}{seed}", "selection": False, "forgotten_classes": []}
        result |= {"hardware": {"device": "cpu", "name": "x", "threads": 1}, "settings": settings, "rows": rows}
        path = root / folder / f"{len(list(root.rglob('result.json')))}"
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps(result | changes))
        return path

    return call


@pytest.fixture
def paper(write: Callable[..., Path]) -> None:
    """Dense and sparse runs of the paper's setting, three seeds, three methods."""
    for sparsity in ("dense", "omp95"):
        for seed in range(3):
            for name in ("dau", "finetune", "retrain_again"):
                write(seed, name, dataset="cifar10", network="resnet18", sparsity=sparsity)

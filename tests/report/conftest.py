"""Finished runs with made-up numbers."""

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from dau_lightning.metric.disparity import COMPARED, disparity, gaps
from dau_lightning.report.read import read
from dau_lightning.report.rows import records_of, table_of
from tests.composed import composed

RETRAIN = np.array([[5.0, 14.0, 100.0, 94.0], [7.0, 12.0, 99.0, 95.0], [6.0, 13.0, 100.0, 93.0]])
METHOD = np.array([[3.0, 8.0, 99.5, 93.0], [9.0, 15.0, 97.5, 96.0], [6.5, 12.0, 99.0, 94.5]])
SECONDS = np.array([100.0, 150.0, 120.0]), np.array([10.0, 30.0, 20.0])
ATTACKS = ("confidence", "entropy", "modified_entropy", "probability")
SCORE = {"judge_error": 2.0, "judge_MIA": 3.0, "score": 1.5}
LABELS = {
    "dau": "DAU",
    "dau_paper": "DAU",
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
    """The made-up numbers: (seed, column) of Retrain and of every method, and their seconds."""
    return SimpleNamespace(retrain=RETRAIN, method=METHOD, retrain_seconds=SECONDS[0], seconds=SECONDS[1])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """See `writer`."""
    return writer(tmp_path)


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Makes the rows of all runs that were written."""
    return lambda **options: table_of(records_of(read([tmp_path])), **options)


def writer(root: Path) -> Callable[..., Path]:
    """Writes the run of a method with a seed; keywords change what stands in `result.json`."""

    def call(seed: int = 0, name: str = "dau", folder: str = "runs", **changes: Any) -> Path:
        scheme, sparsity = changes.get("scheme", "random"), changes.get("sparsity", "dense")
        rows = _rows(seed, name, sparse=sparsity != "dense", selection=changes.get("selection", False))
        for kind, row in changes.pop("rows", {}).items():
            rows[kind] = rows.get(kind, {}) | row
        if not changes.pop("reference", True):
            del rows["retrain"]
            rows = {kind: {key: value for key, value in row.items() if key != "disparity"} for kind, row in rows.items()}
        amount, rewind_epochs = changes.pop("amount", 0.95), changes.pop("rewind_epochs", 8)
        method = changes.pop("method", {})
        settings = {
            "baseline": {"lr": 0.1, "regulariser_weight": 0.001} | method,
            "sparsity": {} if sparsity == "dense" else {"amount": amount, "rewind_epochs": rewind_epochs},
            "scheme": {"fraction": 0.1} if scheme == "random" else {"target": None},
            "dataset": {"train_limit": None, "test_limit": None, "seed": seed},
            "recipe": {"epochs": changes.pop("epochs", 40)},
            "trainer": {"precision": changes.pop("precision", "32-true")},
            "wandb": {"mode": "auto", "project": "tests"},
        }
        if changes.get("dataset") == "cifar10":  # the paper's settings
            settings = copy.deepcopy(settings_of("cifar10", scheme, sparsity, name))
            settings["baseline"] |= method
        counts = {"train": 100, "retain": 90, "forget": 10, "val": 12, "test_retain": 40, "test_forget": 0}
        result = {"dataset": "digits", "network": "convnet", "scheme": "random", "sparsity": "dense", "baseline": name}
        result |= {"seed": seed, "split_hash": f"{scheme}{seed}", "data_hash": "d", "selection": False, "counts": counts}
        result |= {"hardware": {"device": "cpu", "name": "x", "threads": 1}, "versions": {"torch": "2.11"}, "warnings": []}
        result |= {
            "forgotten_classes": [],
            "command": f"python train.py seed={seed}",
            "settings": settings,
            "rows": rows,
            "start": {"RA": 100.0},
        }
        path = root / folder / f"{len(list(root.rglob('result.json')))}"
        path.mkdir(parents=True)
        (path / "result.json").write_text(json.dumps(result | changes))
        return path

    return call


def _rows(seed: int, name: str, sparse: bool, selection: bool) -> dict[str, dict[str, Any]]:
    shift = 0.5 * sparse
    numbers = {"retrain": RETRAIN[seed] - shift, "original": RETRAIN[seed] + 1, name: METHOD[seed] + shift}
    rows: dict[str, dict[str, Any]] = {}
    retrain = dict(zip(COMPARED, map(float, numbers["retrain"]), strict=True))
    for kind, values in numbers.items():
        row: dict[str, Any] = dict(zip(COMPARED, map(float, values), strict=True))
        if selection:
            row = {column: row[column] for column in ("UA", "MIA", "RA")} | SCORE
        else:
            row |= {"gaps": gaps(row, retrain), "disparity": disparity(row, retrain), "TA_forgotten": None}
            row |= {"attacks": {attack: float(values[1]) + place for place, attack in enumerate(ATTACKS)}}
        label = LABELS.get(kind, kind.title())
        rows[kind] = {"label": label, **row, "seconds": float(SECONDS[kind == name][seed]), "sparsity": 95.0 * sparse}
    return {kind: row for kind, row in rows.items() if not (selection and kind == "retrain")}


@pytest.fixture
def paper(write: Callable[..., Path]) -> None:
    """Dense and sparse runs with the paper's settings, three seeds, three methods."""
    for sparsity in ("dense", "omp95"):
        for seed in range(3):
            for name in ("dau_paper", "finetune", "retrain_again"):
                write(seed, name, dataset="cifar10", network="resnet18", sparsity=sparsity)

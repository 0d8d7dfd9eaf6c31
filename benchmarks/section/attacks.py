"""The SVM attacks, all together, and how far rounded scores leave the exact decisions."""

from typing import cast

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from benchmarks.clock import alternate
from benchmarks.table import Table
from benchmarks.workload import CONF
from dau_lightning.metric.mia import STATISTICS, fitted

SAMPLES, EXACT_SAMPLES, CLASSES = 10_000, 1500, (10, 100)
SHARPNESS = {"member": 3.0, "nonmember": 2.0, "forget": 2.5}


def measure(device: torch.device) -> Table:
    """A row an attack, and one of all."""
    cpu, rows = torch.device("cpu"), []
    for path in sorted((CONF / "metric").glob("*.yaml")):
        name, config = path.stem, cast(DictConfig, OmegaConf.load(path))
        config.seed = 0
        attack = instantiate(config[name])

        def run(attack=attack) -> None:
            for role in SHARPNESS:
                attack.update(role, *predictions(role, SAMPLES, CLASSES[0]))
            attack.compute()
            attack.reset()

        seconds = alternate({"": run}, cpu)[""]
        rows.append(
            {
                "attack": name,
                "seconds": seconds,
                "resolution": config[name].resolution,
                **{f"same, {classes} classes, %": agreement(name, config[name].resolution, classes) for classes in CLASSES},
            }
        )
    least = {column: min(row[column] for row in rows) for column in rows[0] if column.startswith("same")}
    rows.append({"attack": "all", "seconds": sum(row["seconds"] for row in rows), "resolution": "", **least})
    note = (
        f"2 x {SAMPLES:,} samples of {CLASSES[0]} classes, target 1 s; "
        f"same decisions as the exact SVM on 2 x {EXACT_SAMPLES:,}, which it takes long for: target 99.5"
    )
    return Table("Attacks", rows, note)


def predictions(role: str, count: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits as a trained network gives them, and labels: of ten classes 80% of nonmembers right, more of the others."""
    draws = torch.Generator().manual_seed(len(role))
    targets = torch.randint(classes, (count,), generator=draws)
    logits = torch.randn(count, classes, generator=draws)
    logits[torch.arange(count), targets] += 4.0
    return SHARPNESS[role] * logits, targets


def agreement(name: str, resolution: float, classes: int) -> float:
    """Percent of members, nonmembers and forget samples that rounded and exact SVM call the same."""
    parts = [predictions(role, EXACT_SAMPLES, classes) for role in SHARPNESS]
    scores = [
        STATISTICS[name](logits.softmax(1), targets).double().view(EXACT_SAMPLES, -1).numpy() for logits, targets in parts
    ]
    exact, rounded = (fitted(scores[0], scores[1], each).predict(np.concatenate(scores)) for each in (None, resolution))
    return 100 * float((exact == rounded).mean())

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

SAMPLES, EXACT_SAMPLES = 10_000, 1500
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
                attack.update(role, *predictions(role, SAMPLES))
            attack.compute()
            attack.reset()

        seconds = alternate({"": run}, cpu)[""]
        rows.append(
            {
                "attack": name,
                "seconds": seconds,
                "resolution": config[name].resolution,
                "same decisions, %": agreement(name, config[name].resolution),
            }
        )
    whole = {"attack": "all", "seconds": sum(row["seconds"] for row in rows), "resolution": ""}
    rows.append({**whole, "same decisions, %": min(row["same decisions, %"] for row in rows)})
    note = f"2 x {SAMPLES:,} samples, target 1 s; decisions against the exact SVM on 2 x {EXACT_SAMPLES:,}, target 99.5"
    return Table("Attacks", rows, note)


def predictions(role: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of ten classes as a trained network gives them, and labels: 80% of nonmembers right, more of the others."""
    draws = torch.Generator().manual_seed(len(role))
    targets = torch.randint(10, (count,), generator=draws)
    logits = torch.randn(count, 10, generator=draws)
    logits[torch.arange(count), targets] += 4.0
    return SHARPNESS[role] * logits, targets


def agreement(name: str, resolution: float) -> float:
    """Percent of members, nonmembers and forget samples that rounded and exact SVM call the same."""
    parts = [predictions(role, EXACT_SAMPLES) for role in SHARPNESS]
    scores = [
        STATISTICS[name](logits.softmax(1), targets).double().view(EXACT_SAMPLES, -1).numpy() for logits, targets in parts
    ]
    exact, rounded = (fitted(scores[0], scores[1], each).predict(np.concatenate(scores)) for each in (None, resolution))
    return 100 * float((exact == rounded).mean())

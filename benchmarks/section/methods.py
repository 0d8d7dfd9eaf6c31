"""The run time of each method as a ratio to Retrain's, on images of the digits' size, with the settings of a run."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.clock import alternate
from benchmarks.table import Table
from benchmarks.workload import Workload

SHARE = 6  # a sixth of the images that digits have to train on, and so of every method's steps
IMAGES = 1347 // SHARE
PRETRAINING = 50  # steps that stand for all


def measure(device: torch.device) -> Table:
    """A row a method; of DAU the game and, by a part of its steps, the attacker's pre-training."""
    game = ["baseline.pretraining_steps=0"]
    whole: Any = Workload("convnet", "dau").module()
    works = {name: training(name) for name in ("retrain", "finetune", "gradient_ascent", "fisher", "influence")}
    works |= {"dau": training("dau", game)}
    works |= {"dau pretrained": training("dau", [f"baseline.pretraining_steps={PRETRAINING}"])}
    seconds = alternate(works, device)
    pretraining = (seconds["dau pretrained"] - seconds["dau"]) / PRETRAINING * whole.pretraining_steps / SHARE
    seconds["dau"] += pretraining
    del seconds["dau pretrained"]
    rows = [{"method": name, "ratio": each / seconds["retrain"], "seconds": each} for name, each in seconds.items()]
    note = f"DAU: {100 * pretraining / seconds['dau']:.0f}% of it the attacker's pre-training"
    return Table("Run time, digits", rows, note)


def training(method: str, settings: tuple[str, ...] | list[str] = ()) -> Callable[[], None]:
    """A work that trains a new module as a run does."""
    work = Workload("convnet", method, settings, IMAGES)
    return lambda: work.fit(work.module())

"""The run time of each method as a ratio to Retrain's, on as many images as digits have, with the settings of a run.

By a run's own clock, from the first to the last step. The longer ones are timed over some of their epochs, and DAU's
attacker over some of its steps before the game, which stand for all.
"""

from functools import partial
from typing import Any

import torch

from benchmarks.clock import ByTurns, medians
from benchmarks.table import Table
from benchmarks.workload import Workload

IMAGES = 1347  # that digits have to train on
METHODS = "retrain", "finetune", "gradient_ascent", "fisher", "influence", "dau_paper"
TIMED = {"retrain": 2, "finetune": 2, "dau_paper": 1}  # epochs, of the others all
PRETRAINING = 10, 60  # steps: their difference is free of the pass that stores the defender's outputs


def measure(device: torch.device) -> Table:
    """A row a method; of DAU the game and the attacker's pre-training."""
    works = {name: Workload("convnet", name, images=IMAGES) for name in METHODS}
    epochs = {name: work.module().epochs for name, work in works.items()}
    timed = epochs | TIMED
    dau: Any = works["dau_paper"].module()
    all_steps = dau.attacker.pretraining.steps
    measured = medians(
        {name: partial(_training, work, timed[name]) for name, work in works.items()}
        | {str(steps): partial(_pretraining, works["dau_paper"], steps) for steps in PRETRAINING}
    )
    few, many = (measured[str(steps)] for steps in PRETRAINING)
    pretraining = few + (many - few) * (all_steps - PRETRAINING[0]) / (PRETRAINING[1] - PRETRAINING[0])
    seconds = {name: measured[name] * epochs[name] / timed[name] for name in METHODS}
    seconds["dau_paper"] += pretraining
    rows = [
        {
            "method": name,
            "ratio": seconds[name] / seconds["retrain"],
            "seconds": seconds[name],
            "epochs timed": f"{timed[name]} of {epochs[name]}",
        }
        for name in METHODS
    ]
    steps = f"{PRETRAINING[1]} of {all_steps} steps timed"
    note = f"DAU (paper): {100 * pretraining / seconds['dau_paper']:.0f}% of it the attacker's pre-training ({steps})"
    return Table("Run time, digits", rows, note)


def _training(work: Workload, epochs: int) -> float:
    """Seconds of so many epochs; of DAU without pre-training."""
    module: Any = work.module()
    module.epochs = epochs
    if hasattr(module, "attacker"):
        module.attacker.pretraining.steps = 0
    return work.fit(module)


def _pretraining(work: Workload, steps: int) -> float:
    """Seconds of so many steps of it, and one of the game."""
    module: Any = work.module()
    module.attacker.pretraining.steps = steps
    return work.fit(module, ByTurns(lambda: None, blocks=1, warm_up=0))

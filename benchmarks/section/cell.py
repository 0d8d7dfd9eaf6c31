"""On a GPU: what the trainings of a cell on 45,000 images would take, derived from measured steps of ResNet-18 in bf16.

Steps of a run times the seconds of one: without compiling, evaluation and the attacker's pre-training.
"""

from typing import Any

import torch

from benchmarks.clock import ByTurns, block
from benchmarks.table import Table
from benchmarks.workload import Workload

NETWORK, IMAGES = "resnet18", 50_000  # a tenth of them held out
BLOCKS, WARM_UP = 6, 20
BACKENDS = "null", "inductor"
PAPER = [  # of CIFAR-10, and batches of `baseline/dau_paper.yaml` in place of those tuned for folders
    "paper@_global_=dau_paper-random-dense",
    *(f"baseline.{part}_batch_size={size}" for part, size in {"retain": 128, "forget": 64, "val": 64}.items()),
]
METHODS = {"original": [], "retrain": [], "dau_paper": [*PAPER, "baseline.pretraining_steps=0"]}


def measure(device: torch.device) -> Table:
    """A row a training, compiled and not; none without a GPU."""
    cases = [(method, backend) for backend in BACKENDS for method in METHODS] if device.type == "cuda" else []
    rows = [row(device, *case) for case in cases]
    note = "minutes: derived, steps x ms; original and Retrain of 182 epochs at most 2.5; DAU's game a tenth of Retrain's"
    return Table(f"A cell, {NETWORK}, from its steps", rows, note)


def row(device: torch.device, method: str, backend: str) -> dict[str, Any]:
    """Of a method and a compiler."""
    settings = [*METHODS[method], "trainer.precision=bf16-mixed", f"compile={backend}"]
    work = Workload(NETWORK, method, settings, IMAGES)
    module, turns = work.module(), ByTurns(lambda: None, BLOCKS, WARM_UP, block(device))
    work.fit(module, turns)
    part, batch_size = next(iter(module.batch_sizes.items()))
    steps, seconds = module.epochs * -(-len(getattr(work.split, part)) // batch_size), turns.medians()[0]
    return {
        "compile": backend,
        "method": method,
        "ms a step": 1000 * seconds,
        "images/s": batch_size / seconds,
        "epochs": module.epochs,
        "steps": steps,
        "minutes": steps * seconds / 60,
    }

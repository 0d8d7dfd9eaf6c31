"""Reference models of an audit: one after another with all threads, and as many at once as there are cores, a thread each."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.clock import medians
from benchmarks.table import Table
from benchmarks.workload import Workload
from dau_lightning.audit.case import Case
from dau_lightning.audit.further_models import reference, reference_halves, references
from dau_lightning.storage.store import Store

IMAGES, EPOCHS, MODELS, ROUNDS = 2000, 5, 4, 3
Train = Callable[[Case], object]


def measure(device: torch.device) -> Table:
    """A row for each way to train, with the fashion network on the CPU; none with a GPU, which trains one after another."""
    work = Workload("convnet4", "finetune", [f"recipe.epochs={EPOCHS}"], IMAGES)
    case = Case(work.split, work.training, work.method, {}, {}, references=MODELS)
    ways: dict[str, Train] = {"one after another, all threads": one_after_another, "at once, a thread each": references}
    works = {name: partial(seconds, case, train) for name, train in ways.items()}
    taken = medians(works, ROUNDS) if device.type == "cpu" else {}
    images = MODELS * EPOCHS * len(work.split.train) / 2
    rows = [{"reference models": name, "s": each, "images/s": images / each} for name, each in taken.items()]
    return Table(f"Further models of an audit: {MODELS}, convnet4", rows, f"torch may use {torch.get_num_threads()} threads")


def seconds(case: Case, train: Train) -> float:
    """The seconds of training all models into a new store."""
    training = replace(case.training, store=Store(Path(tempfile.mkdtemp())))
    started = time.perf_counter()
    train(replace(case, training=training, models={}))
    return time.perf_counter() - started


def one_after_another(case: Case) -> None:
    """Train the models in this process."""
    for number, half in enumerate(reference_halves(case)):
        reference(case, case.split.train[half.nonzero().flatten()], f"reference {number}")

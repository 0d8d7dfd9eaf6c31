"""The bench compares like with like: hand-written loops do a module's steps. Sections run, and JSON has what is printed."""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks.clock import ByTurns, alternate, medians
from benchmarks.plain import PlainDAU, PlainLoop
from benchmarks.section import cell, imports, peak
from benchmarks.table import exponent, short
from benchmarks.workload import Workload
from dau_lightning.base.randomness import key
from dau_lightning.data.loader import Batch

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
PARTS = "retain", "forget", "val"
GAME = [f"baseline.{part}_batch_size={size}" for part, size in zip(PARTS, (16, 8, 8), strict=True)]
GAME += ["baseline.pretraining_steps=0", "baseline.sensitivity.copies=0", "baseline.lr=0.01", "baseline.schedule=constant"]
CASES = {
    "retrain": ["recipe.lr=0.01", "recipe.schedule=constant", "recipe.batch_size=16"],
    "finetune": ["baseline.lr=0.01", "baseline.schedule=constant", "baseline.batch_size=16"],
    "dau_paper": GAME,
}


class FixedBatch:
    """In place of a stream: the batch that the module has."""

    batch: Batch

    def next(self) -> Batch:
        return self.batch


class SameSteps(L.Callback):
    """Lets a hand-written loop take each step of a module with the same images and dropout."""

    def __init__(self, plain: Any, steps: int) -> None:
        self.plain, self.steps = plain, steps
        self.given = [FixedBatch() for _ in PARTS]
        plain.stream, plain.streams = self.given[0], self.given[1:]
        self.ours: list[float] = []
        self.others: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        for given, part in zip(self.given[: len(batch)], batch.values(), strict=True):
            given.batch = part
        torch.manual_seed(key(module.seed, module.phase, module.step, 0))
        self.others.append(float(self.plain()))
        self.ours.append(float(outputs["loss"]))
        trainer.should_stop = len(self.ours) >= self.steps


@pytest.mark.parametrize("method", CASES)
def test_hand_written_loop_does_the_same_work(method: str) -> None:
    work = Workload("convnet", method, CASES[method], images=200)
    module: Any = work.module()
    network, transform, sizes = module.defender.network, work.training.transform, tuple(module.batch_sizes.values())
    if method == "dau_paper":
        plain = PlainDAU(network, work.split, transform, sizes, bfloat16=False)
        plain.attacker.load_state_dict(module.attacker.network.state_dict())
    else:
        plain = PlainLoop(network, work.split.retain, transform, sizes[0], bfloat16=False)
    both = SameSteps(plain, steps=8)
    work.fit(module, both)
    assert len(set(both.ours)) == 8
    assert both.others == pytest.approx(both.ours, rel=1e-5)
    for mine, theirs in zip(module.defender.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-5)
    assert all(group["fused"] for optimizer in optimizers(plain) for group in optimizer.param_groups)


def optimizers(plain: Any) -> list[torch.optim.Optimizer]:
    return [value for value in vars(plain).values() if isinstance(value, torch.optim.Optimizer)]


def test_every_training_starts_anew() -> None:
    work, steps = Workload("convnet", "dau_paper", CASES["dau_paper"], images=200), list[int]()
    for _ in range(2):
        module: Any = work.module()
        module.attacker.pretraining.steps = 2
        module.attacker.pretraining.before_step = lambda _, step: steps.append(step)
        work.fit(module, ByTurns(lambda: None, blocks=1, warm_up=0))  # which stops it early
    assert steps == [0, 1, 0, 1]


def test_blocks_of_steps() -> None:
    work, calls = Workload("convnet", "finetune", CASES["finetune"], images=200), []
    turns = ByTurns(lambda: calls.append(0), blocks=2, warm_up=1, steps=3)
    work.fit(work.module(), turns)
    assert len(turns.ours) == len(turns.others) == 3
    assert len(calls) == 1 + 2 * 3


def test_medians_by_turns() -> None:
    values = iter([100.0, 100.0, 1.0, 10.0, 3.0, 30.0, 2.0, 20.0])
    assert medians({"a": lambda: next(values), "b": lambda: next(values)}, rounds=3) == {"a": 2.0, "b": 20.0}


def test_exponent() -> None:
    assert exponent([1, 10, 100], [2, 20, 200]) == pytest.approx(1)


def in_this_process(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [work(*each) for each in arguments]


LOG = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |       scipy._lib
import time:       200 |        300 |     scipy
import time:      1000 |       1300 |   torchmetrics
import time:        50 |         50 |     scipy.stats
a warning
import time:      2000 |       2050 |   torch
import time:         7 |       3357 | train
"""


def test_imports_within_others_count_once() -> None:
    names = ("", "scipy", "torch", "torchmetrics", "wandb")
    found = {name: cumulative for name in names if (cumulative := round(1e6 * imports.cumulative(LOG, name)))}
    assert found == {"": 3357, "scipy": 350, "torch": 2050, "torchmetrics": 1300}


def test_operations_of_an_image() -> None:
    network = Workload("resnet18", "finetune", images=100).module().defender
    assert peak.training_flops(network) == pytest.approx(3.333e9, rel=5e-3)  # 0.5554 G products forward, twice that backward


def test_seconds_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NETWORK": "convnet", "IMAGES": 200, "BLOCKS": 1, "WARM_UP": 0}.items():
        monkeypatch.setattr(cell, name, value)
    row = cell.row(CPU, "original", "null")
    assert row["steps"] == 40 * 3  # 180 images in batches of 64
    assert row["minutes"] == pytest.approx(row["steps"] * 64 / row["images/s"] / 60)
    assert cell.row(CPU, "dau_paper", "null")["steps"] == 10 * 2
    assert not cell.measure(CPU).rows


SIZES = {"CLASSES": (3, 4), "IMAGES": (100, 200), "COPIES": (1, 2), "BATCHES": (16, 32)}
TINY: dict[str, dict[str, Any]] = {
    "overhead": {"CPU": [("convnet", method, settings, 200, 2) for method, settings in CASES.items()]},
    "game": {"CPU": ("convnet", 200, 20, 2, 1)},
    "parts": {"CPU": ("convnet", 200)},
    "loader": {"IMAGES": 300},
    "attacks": {"SAMPLES": 60, "EXACT_SAMPLES": 60},
    "gradients": {"IMAGES": {"convnet": (4, 2), "resnet9": (2, 1)}, "alternate": partial(alternate, rounds=1)},
    "methods": {"IMAGES": 200, "PRETRAINING": (1, 2), "medians": partial(medians, rounds=1)},
    "memory": {"CPU": [("convnet", "finetune", [], 200, 1)], "alone": in_this_process},
    "growth": {**SIZES, "ROUNDS": 2, "alone": in_this_process},
    "compiled": {"CPU": ("convnet", 200), "COMPILER": "eager", "BLOCKS": 1},
    "peak": {"CPU": [peak.Case("resnet9", (), "bf16-mixed", 2)], "SIZES": {"cpu": 16}},
    "audit": {"IMAGES": 200, "EPOCHS": 1, "MODELS": 2, "ROUNDS": 1},
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")  # of the DataLoader
@pytest.mark.parametrize("section", TINY)
def test_json_has_what_is_printed(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in TINY[section].items():
        monkeypatch.setattr(f"benchmarks.section.{section}.{name}", value)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["benchmarks", section, "--device", "cpu", "--output", str(tmp_path / "bench.json")])
    bench.main()
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "bench.json").read_text())["sections"][section]
    assert written["rows"]
    assert written["took"] > 0
    for row in written["rows"]:
        line = " ".join(value if isinstance(value, str) else short(value) for value in row.values())
        assert line.split() in [line.split() for line in printed.splitlines()]

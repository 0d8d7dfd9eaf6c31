"""How time and memory grow with the number of classes, of images, of noisy copies and with the batch size."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.clock import ByTurns
from benchmarks.memory import peak_bytes
from benchmarks.table import Table, exponent
from benchmarks.workload import Workload

CLASSES, IMAGES, COPIES, BATCHES = (
    (10, 32, 100, 320, 1000),
    (1000, 3200, 10_000, 32_000),
    (1, 3, 10, 30),
    (16, 32, 64, 128, 256),
)


def measure(device: torch.device) -> Table:
    """A row a size; the exponents of time and memory stand in the last row of each group."""
    rows: list[dict[str, Any]] = []
    small = ["retain=16", "forget=4", "val=4"]
    rows += _group("classes", CLASSES, [_game(device, k, small, images=8 * k) for k in CLASSES])
    rows += _group("images", IMAGES, [_epoch(device, n) for n in IMAGES])
    rows += _group("noisy copies", COPIES, [_game(device, 10, ["retain=16", "forget=64", "val=64"], copies=n) for n in COPIES])
    rows += _group(
        "retain batch", BATCHES, [_game(device, 10, [f"retain={b}", f"forget={b // 2}", f"val={b // 2}"]) for b in BATCHES]
    )
    return Table(
        "Growth, the digits network", rows, "a step of DAU; of images: an epoch of Retrain. Exponent: slope of the logarithms"
    )


def _group(what: str, sizes: Sequence[int], measured: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"of": what, "size": size, "ms": 1000 * seconds, "MiB": peak / 2**20, "exponent, ms": "", "MiB ": ""}
        for size, (seconds, peak) in zip(sizes, measured, strict=True)
    ]
    rows[-1] |= {"exponent, ms": f"{exponent(sizes, [seconds for seconds, _ in measured]):.2f}"}
    rows[-1] |= {"MiB ": f"{exponent(sizes, [max(peak, 2**20) for _, peak in measured]):.2f}"}
    return rows


def _game(
    device: torch.device, classes: int, batches: Sequence[str], copies: int = 0, images: int = 2000
) -> tuple[float, float]:
    parts = [batch.split("=") for batch in batches]
    settings = [f"baseline.{part}_batch_size={size}" for part, size in parts]
    settings += [f"baseline.sensitivity.copies={copies}", "baseline.pretraining_steps=0", "baseline.epochs=99"]
    settings += ["baseline.pretraining_batch_size=8"]  # of the pass that looks at the attacker before the game
    with patch("dau_lightning.pretraining.HELD_OUT", 32):  # judging the attacker before and after the game is no step of it
        return _steps(Workload("convnet", "dau", settings, max(images, 2000), classes), device, steps=5)


def _epoch(device: torch.device, images: int) -> tuple[float, float]:
    work = Workload("convnet", "retrain", ["recipe.epochs=2"], images)
    steps = -(-len(work.split.retain) // 64)
    seconds, peak = _steps(work, device, steps=min(steps, 100))
    return seconds * steps, peak


def _steps(work: Workload, device: torch.device, steps: int) -> tuple[float, float]:
    """Median seconds of a step, and the most memory of a training."""
    module, turns = work.module(), ByTurns(lambda: None, steps, warm_up=2)
    peak = peak_bytes(lambda: work.fit(module, turns), device)
    return turns.medians()[0], peak

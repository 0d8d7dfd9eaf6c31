"""How time and memory grow with the number of classes, of images, of noisy copies and with the batch size."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.clock import ByTurns, block
from benchmarks.memory import alone, peak_bytes
from benchmarks.table import Table, exponent
from benchmarks.workload import Workload

CLASSES, IMAGES, COPIES, BATCHES = (
    (10, 32, 100, 320, 1000),
    (320, 1000, 3200, 10_000),
    (1, 3, 10, 30),
    (16, 32, 64, 128, 256),
)
ROUNDS = 5
Measured = tuple[float, int]  # seconds, bytes
SMALL = ("retain=16", "forget=2", "val=2")


def measure(device: torch.device) -> Table:
    """A row a size; the exponents of time and memory stand in the last row of each group."""
    groups: dict[str, tuple[Sequence[int], Callable[[torch.device, int], Measured]]] = {
        "classes": (CLASSES, of_classes),
        "images": (IMAGES, of_images),
        "noisy copies": (COPIES, of_copies),
        "retain batch": (BATCHES, of_batches),
    }
    rows = []
    for what, (sizes, work) in groups.items():
        rows += _group(what, sizes, alone(work, [(device, size) for size in sizes]))
    return Table(
        "Growth, the digits network", rows, "a step of DAU; of images: an epoch of Retrain. Exponent: slope of the logarithms"
    )


def of_classes(device: torch.device, classes: int) -> Measured:
    """A step of the game, and its memory, with so many classes of eight images each."""
    return _game(device, classes, SMALL, images=8 * classes)


def of_images(device: torch.device, images: int) -> Measured:
    """An epoch of Retrain on so many images."""
    work = Workload("convnet", "retrain", [f"recipe.epochs={ROUNDS + 2}"], images)
    steps = -(-len(work.split.retain) // work.module().batch_size)
    seconds, peak = _steps(work, device, steps)  # a block goes from one epoch into the next
    return seconds * steps, peak


def of_copies(device: torch.device, copies: int) -> Measured:
    """A step of the game with so many noisy copies, without their gradient."""
    return _game(device, 10, ("retain=16", "forget=64", "val=64"), copies)


def of_batches(device: torch.device, retain: int) -> Measured:
    """A step of the game whose forget and val batches have half of the retain batch."""
    return _game(device, 10, (f"retain={retain}", f"forget={retain // 2}", f"val={retain // 2}"))


def _group(what: str, sizes: Sequence[int], measured: Sequence[Measured]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"of": what, "size": size, "ms": 1000 * seconds, "MiB": peak / 2**20, "exponent, ms": "", "MiB ": ""}
        for size, (seconds, peak) in zip(sizes, measured, strict=True)
    ]
    rows[-1] |= {"exponent, ms": f"{exponent(sizes, [seconds for seconds, _ in measured]):.2f}"}
    rows[-1] |= {"MiB ": f"{exponent(sizes, [max(peak, 2**20) for _, peak in measured]):.2f}"}
    return rows


def _game(device: torch.device, classes: int, batches: Sequence[str], copies: int = 0, images: int = 2000) -> Measured:
    parts = [batch.split("=") for batch in batches]
    settings = [f"baseline.{part}_batch_size={size}" for part, size in parts]
    settings += [f"baseline.sensitivity.copies={copies}", "baseline.pretraining_steps=0", "baseline.epochs=99"]
    return _steps(Workload("convnet", "dau_paper", settings, max(images, 2000), classes), device, block(device))


def _steps(work: Workload, device: torch.device, steps: int) -> Measured:
    """Median seconds of a step over blocks of steps, and the most memory of a training."""
    module, turns = work.module(), ByTurns(lambda: None, ROUNDS, warm_up=1, steps=steps)
    peak = peak_bytes(lambda: work.fit(module, turns), device)
    return turns.medians()[0], peak

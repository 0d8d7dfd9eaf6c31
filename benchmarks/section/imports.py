"""Which imports the seconds before the first step of a training go to, by Python's own timer."""

import tempfile

import torch

from benchmarks.section.start import until_a_step
from benchmarks.table import Table

PACKAGES = "torch", "torch._dynamo", "lightning", "torchmetrics", "scipy", "torchvision", "sklearn", "wandb"


def measure(device: torch.device) -> Table:
    """A row a package, the slowest first."""
    with tempfile.TemporaryDirectory() as folder:
        whole, log = until_a_step(folder, "-X", "importtime")
    seconds = {name: cumulative(log, name) for name in ("", *PACKAGES)}
    rows = [
        {"import": name or "all", "seconds": each, "share, %": 100 * each / whole}
        for name, each in sorted(seconds.items(), key=lambda pair: -pair[1])
    ]
    note = f"of {whole:.1f} s to the first step, once; each with what it imports first, so that they overlap"
    return Table("Imports", rows, note)


def cumulative(log: str, package: str) -> float:
    """Seconds of a package's imports and of those within them, from what `python -X importtime` wrote; of all for "".

    A module comes after those that it imports, which are further indented: from the end, what lies within one that counted
    is passed over.
    """
    total, inside = 0, None
    for line in reversed(log.splitlines()):
        _, number, module = [*line.split("|"), "", ""][:3]
        if not line.startswith("import time:") or not number.strip().isdigit():
            continue  # a warning, the heading
        depth = len(module) - len(module.lstrip())
        if inside is None or depth <= inside:
            counts = not package or f"{module.strip()}.".startswith(f"{package}.")
            total, inside = (total + int(number), depth) if counts else (total, None)
    return total / 1e6

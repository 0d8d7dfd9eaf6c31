"""Images/s of training a network, and the share that its operations have of what a matrix product reaches there (MFU)."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import ByTurns, alternate, block
from benchmarks.table import Table
from benchmarks.workload import Workload


class Case(NamedTuple):
    """A training to time."""

    network: str
    settings: tuple[str, ...]
    precision: str
    batch: int


BATCHES = 256, 512, 1024
CUDA = [Case("resnet18", (f"compile={backend}",), "bf16-mixed", batch) for backend in ("null", "inductor") for batch in BATCHES]
CPU = [
    Case(network, settings, precision, 128)
    for network, settings in (("resnet9", ()), ("resnet9", ("network.width=32",)), ("resnet18", ()))
    for precision in ("32-true", "bf16-mixed")
]
SIZES = {"cuda": 8192, "cpu": 2048}  # of the matrices
TYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}


def measure(device: torch.device) -> Table:
    """A row a network, precision and batch size; on a GPU also compiled."""
    cases, rows = CUDA if device.type == "cuda" else CPU, []
    peaks = {name: matmul_flops(device, TYPES[name]) for name in {case.precision for case in cases}}
    for case in cases:
        settings = [*case.settings, f"recipe.batch_size={case.batch}", f"trainer.precision={case.precision}"]
        work = Workload(case.network, "original", settings, images=50_000 if device.type == "cuda" else 2000)
        module, turns = work.module(), ByTurns(lambda: None, 6, 20 if device.type == "cuda" else 2, block(device))
        work.fit(module, turns)
        seconds = turns.medians()[0]
        flops = training_flops(module.defender) * case.batch / seconds
        rows.append(
            {
                "network": " ".join((case.network, *case.settings)),
                "precision": case.precision,
                "batch": case.batch,
                "images/s": case.batch / seconds,
                "TFLOP/s": flops / 1e12,
                "MFU, %": 100 * flops / peaks[case.precision],
                "first step, s": turns.ours[0],
            }
        )
    size = SIZES[device.type]
    reached = ", ".join(f"{name} {peaks[name] / 1e12:.2g} TFLOP/s" for name in sorted(peaks))
    return Table("Training", rows, f"peak of a {size} x {size} matrix product: {reached}; {torch.get_num_threads()} threads")


def matmul_flops(device: torch.device, kind: torch.dtype = torch.bfloat16) -> float:
    """Operations a second of a large matrix product."""
    size = SIZES[device.type]
    first, second = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / alternate({"product": lambda: first @ second}, device)["product"]


def training_flops(model: torch.nn.Module) -> int:
    """Operations of an image, forward and backward."""
    images = torch.randn(2, 3, 32, 32, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        model(images)[0].sum().backward()
    return counter.get_total_flops() // 2

"""On a GPU: TFLOP/s of training ResNet-18, and their share of what a matrix product of that type reaches there (MFU)."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import ByTurns, alternate, block
from benchmarks.table import Table
from benchmarks.workload import Workload

SIZE = 8192  # of the matrices
BATCHES = 256, 512, 1024


def measure(device: torch.device) -> Table:
    """A row a batch size, compiled and not; none without a GPU."""
    if device.type != "cuda":
        return Table("Share of the peak", [], "only on a GPU")
    peak = matmul_flops(device)
    rows = []
    for backend in ("null", "inductor"):
        for batch_size in BATCHES:
            settings = [f"recipe.batch_size={batch_size}", "trainer.precision=bf16-mixed", f"compile={backend}"]
            work = Workload("resnet18", "original", settings, images=50_000)
            module, turns = work.module(), ByTurns(lambda: None, 6, 20, block(device))
            work.fit(module, turns)
            seconds = turns.medians()[0]
            flops = training_flops(module.defender) * batch_size / seconds
            rows.append(
                {
                    "compile": backend,
                    "batch": batch_size,
                    "images/s": batch_size / seconds,
                    "TFLOP/s": flops / 1e12,
                    "MFU, %": 100 * flops / peak,
                    "first step, s": turns.ours[0],
                }
            )
    return Table("Training ResNet-18 in bf16", rows, f"peak: {peak / 1e12:.0f} TFLOP/s of a {SIZE} x {SIZE} matrix product")


def matmul_flops(device: torch.device) -> float:
    """Operations a second of a large matrix product in bfloat16."""
    first, second = (torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * SIZE**3 / alternate({"product": lambda: first @ second}, device)["product"]


def training_flops(model: torch.nn.Module) -> int:
    """Operations of an image, forward and backward."""
    images = torch.randn(2, 3, 32, 32, device=next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        model(images)[0].sum().backward()
    return counter.get_total_flops() // 2

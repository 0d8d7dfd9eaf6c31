"""Compiled networks: the seconds of compiling, a step after it, and how far losses move."""

from typing import Any

import lightning as L
import torch

from benchmarks.clock import ByTurns, block
from benchmarks.table import Table
from benchmarks.workload import Workload

CPU, CUDA = ("resnet9", 1000), ("resnet18", 50_000)  # network, images
COMPILER = "inductor"
WARM_UP, BLOCKS, COMPARED = 3, 6, 3  # losses of later steps have drifted apart as those of any two rounding errors do


class Losses(L.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep it."""
        self.values.append(outputs["loss"].detach())


def measure(device: torch.device) -> Table:
    """A row a method, of the small residual network on a CPU and of ResNet-18 on a GPU."""
    network, images = CUDA if device.type == "cuda" else CPU
    settings = ["baseline.lr=0.001"]  # at the usual rate new weights diverge, and a rounding error grows tenfold a step
    settings += ["trainer.precision=bf16-mixed"] if device.type == "cuda" else []
    rows = []
    for method in ("finetune", "dau_paper") if device.type == "cuda" else ("finetune",):  # a CPU compiles DAU for a minute
        more = ["baseline.pretraining_steps=0", "baseline.sensitivity.copies=2"] if method == "dau_paper" else []
        plain, compiled = (
            _trained(Workload(network, method, [*settings, *more, f"compile={backend}"], images), block(device))
            for backend in ("null", COMPILER)
        )
        distance = (plain[1] - compiled[1]).abs().max() / plain[1].abs().max()
        rows.append(
            {
                "method": method,
                "ms a step": 1000 * plain[0].medians()[0],
                "compiled": 1000 * compiled[0].medians()[0],
                "ratio": compiled[0].medians()[0] / plain[0].medians()[0],
                "first step, s": compiled[0].ours[0],
                "losses apart": float(distance),
            }
        )
    note = f"{network}; losses: the largest distance over {COMPARED} steps, relative to the largest loss, at rate 0.001"
    return Table(f"Compiled networks (compile={COMPILER})", rows, note)


def _trained(work: Workload, steps: int) -> tuple[ByTurns, torch.Tensor]:
    turns, losses = ByTurns(lambda: None, BLOCKS, WARM_UP, steps), Losses()
    work.fit(work.module(), losses, turns)
    return turns, torch.stack(losses.values)[:COMPARED].float().cpu()

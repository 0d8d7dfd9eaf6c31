"""Steps of Retrain's recipe, FT and DAU against hand-written loops that do the same work."""

import torch

from benchmarks.clock import ByTurns, block
from benchmarks.plain import PlainDAU, PlainLoop
from benchmarks.table import Table
from benchmarks.workload import Workload

# network, method, settings, images, blocks of steps
CPU = [
    ("convnet", "retrain", [], 1350, 60),
    ("convnet", "finetune", [], 1350, 60),
    ("convnet", "dau_paper", [], 1350, 30),
    ("resnet9", "retrain", [], 1000, 5),
    ("resnet9", "finetune", [], 1000, 5),
    ("resnet9", "dau_paper", [], 1000, 5),
    ("resnet18", "retrain", ["recipe.batch_size=16"], 300, 5),
    ("resnet18", "finetune", ["baseline.batch_size=16"], 300, 5),
    (
        "resnet18",
        "dau_paper",
        [f"baseline.{part}_batch_size={size}" for part, size in (("retain", 16), ("forget", 4), ("val", 4))],
        300,
        5,
    ),
]
CUDA = [
    (network, method, ["trainer.precision=bf16-mixed"], 50_000, 10)
    for network in ("convnet", "resnet9", "resnet18")
    for method in ("retrain", "finetune", "dau_paper")
]
TARGETS = {"convnet": 1.5, "resnet9": 1.05, "resnet18": 1.05}


def measure(device: torch.device) -> Table:
    """A row a network and method."""
    rows = []
    for network, method, settings, images, blocks in CUDA if device.type == "cuda" else CPU:
        game = ["baseline.pretraining_steps=0", "baseline.sensitivity.copies=0"] if method == "dau_paper" else []
        work = Workload(network, method, [*settings, *game], images)
        module = work.module()
        network_, split, transform = module.defender.network.to(device), work.split_on(device), work.training.transform
        sizes, short = tuple(module.batch_sizes.values()), work.short
        if method == "dau_paper":
            plain = PlainDAU(network_, split, transform, (sizes[0], sizes[1], sizes[2]), short)
        else:
            plain = PlainLoop(network_, split.retain, transform, sizes[0], short)
        warm_up = 1 if network.startswith("resnet") and device.type == "cpu" else 5
        turns = ByTurns(plain, blocks, warm_up, block(device))
        work.fit(module, turns)
        ours, other = turns.medians()
        rows.append(
            {
                "network": network,
                "method": method,
                "batches": " + ".join(map(str, sizes)),
                "ms a step": 1000 * ours,
                "by hand": 1000 * other,
                "ratio": turns.ratio(),
                "target": TARGETS[network],
                "images/s": int(sizes[0] / ours),
            }
        )
    return Table(
        "Steps against a hand-written loop", rows, "ratio: median over pairs of blocks of steps, by turns; images/s: of retain"
    )

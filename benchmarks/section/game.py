"""A DAU step against its own arithmetic bound, and against an FT step.

Counted in passes of an image through the defender, forward 1, forward and backward 3: `3 B` of FT, `3 (F + V)` of forget
and val images, and `n (F + V)` of their noisy copies, three times as many with a gradient. An attacker's step counts as
measured alone, and two thirds of it more in the defender's step, where its weights have no gradient.
"""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.clock import ByTurns, alternate, block
from benchmarks.plain import PlainLoop
from benchmarks.table import Table
from benchmarks.workload import Workload
from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.player import FormulaPlayer

# network, images in all and a step of retain, blocks of steps, warm-up
CPU, CUDA = ("resnet9", 1000, 128, 5, 1), ("resnet18", 50_000, 256, 6, 4)
# what, forget and val images as a share of B, n, with gradient, alpha, about as many FT steps as it should take
SETTINGS = [
    ("n = 10", 0.1, 10, False, 0.9, 2.0),
    ("n = 1, gradient", 0.1, 1, True, 0.9, 2.0),
    ("n = 10, gradient", 0.1, 10, True, 0.9, 3.2),
    ("no sensitivity", 0.5, 0, False, 0.9, 2.0),
    ("alpha is 0", 0.1, 10, False, 0.0, 1.3),
]


def measure(device: torch.device) -> Table:
    """A row a setting."""
    network, _, batch_size, *_ = CUDA if device.type == "cuda" else CPU
    rows = []
    for what, share, copies, gradient, alpha, about in SETTINGS:
        size = int(share * batch_size)
        settings = [f"baseline.sensitivity.copies={copies}", f"baseline.sensitivity.gradient={gradient}"]
        settings += [f"baseline.adversarial_steps={'null' if alpha else 0}", "baseline.pretraining_steps=0"]
        passes = 3 * batch_size + 2 * size * (3 + (copies * (3 if gradient else 1) if alpha else 0))
        rows.append(_row(what, "dau_paper", (batch_size, size), settings, passes, about, device))
    size = batch_size // 2  # our game has as many images of each part, and val images have no gradient
    rows.append(_row("dau", "dau", (size, size), [], 3 * 2 * size + size, 2.5, device))
    note = "bound: in FT steps, by arithmetic and the attacker as measured; of its bound: at most 1.25 is the target"
    return Table(f"A DAU step, {network}", rows, note)


def _row(
    what: str,
    baseline: str,
    sizes: tuple[int, int],
    settings: Sequence[str],
    passes: int,
    about: float,
    device: torch.device,
) -> dict[str, Any]:
    """Of one game.

    Args:
        what: the game in words.
        baseline: its name.
        sizes: retain images, and forget and val images each, in a step.
        settings: of the command line.
        passes: of images in a step, as above, without the attacker.
        about: FT steps that it should take.
        device: what it is measured on.
    """
    network, images, _, blocks, warm_up = CUDA if device.type == "cuda" else CPU
    batch_size, size = sizes
    counts = {"retain": batch_size, "forget": size, "val": size}
    settings = [*settings, *(f"baseline.{part}_batch_size={count}" for part, count in counts.items()), "baseline.epochs=99"]
    settings += ["trainer.precision=bf16-mixed"] if device.type == "cuda" else []
    work = Workload(network, baseline, settings, images)
    module = work.module().to(device)
    split, transform = work.split_on(device), work.training.transform
    finetune = PlainLoop(module.defender.network, split.retain, transform, batch_size, work.short)
    attacker = _attacker_seconds(module, size, device, finetune)
    turns = ByTurns(finetune, blocks, warm_up, block(device))
    work.fit(module, turns)
    ours, other = turns.medians()
    attacking = 5 / 3 * attacker / other
    bound = passes / (3 * batch_size) + attacking
    row = {"setting": what, "batches": f"{batch_size} + {size} + {size}", "ms": 1000 * ours, "FT steps": turns.ratio()}
    row |= {"aim": about, "bound": bound, "of it attacker, %": 100 * attacking / bound, "of its bound": turns.ratio() / bound}
    return row


def _attacker_seconds(module: Any, size: int, device: torch.device, finetune: PlainLoop) -> float:
    """Of the attacker's step on `size` forget and as many val samples; 0 where nobody plays, or by a formula."""
    if module.adversarial_steps == 0 or isinstance(module.attacker, FormulaPlayer):
        return 0.0
    optimizer = module.configure_optimizers()[1]
    draws = torch.randn(2 * size, 10, device=device).softmax(1)
    inputs = AttackerInputs(draws, draws, torch.arange(2 * size, device=device) % 10)

    def step() -> None:
        optimizer.zero_grad()
        module.attacker.attacker_loss(inputs.at(slice(size)), inputs.at(slice(size, None))).backward()
        optimizer.step()

    return alternate({"attacker": step, "finetune": finetune}, device)["attacker"]

"""21 steps of FT and of the whole game on one of several devices."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import nn

from dau_lightning.baseline.finetune import FineTune
from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker
from dau_lightning.game.extra_loss.gradient_ascent import GradientAscent
from dau_lightning.game.objective import MinMax
from dau_lightning.game.penalty import interpolated
from dau_lightning.game.projector import mlp
from dau_lightning.game.regulariser import redundancy_reduction
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.network.defender import Defender
from dau_lightning.training.trainer import TrainerSettings
from tests.world import Tiny


class Losses(L.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


def methods(tiny: Tiny) -> dict[str, Any]:
    """By name, each around new weights without statistics of a batch."""

    def defender() -> Defender:
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        return Defender(nn.Sequential(*layers, nn.Linear(32, 3)))

    game = DAU(
        defender=defender(),
        seed=0,
        epochs=7,
        lr=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="constant",
        milestones=[],
        batch_norm="batch",
        attacker=Attacker,
        penalty=partial(interpolated, weight=10.0),
        objective=MinMax(saturating=True),
        regulariser=partial(redundancy_reduction, off_diagonal_weight=5e-3),
        projector=partial(mlp, width=8),
        term={"ascent": GradientAscent(0.1)},
        sensitivity=Sensitivity(copies=3, noise_scale=1.0, divide=False, norm=False, gradient=True, images_per_pass=8),
        retain_batch_size=12,
        forget_batch_size=6,
        val_batch_size=6,
        adversarial_weight=0.9,
        adversarial_steps=15,
        regulariser_weight=0.1,
        pairing="class",
        attacker_input="probabilities",
        attacker_mode="eval",
        attacker_lr=1e-3,
        attacker_steps=1,
        pretraining_steps=6,
        pretraining_batch_size=6,
        pretraining_refresh=3,
    )
    return {"FT": tiny.module(FineTune, defender=defender(), epochs=7), "DAU": game}


def main(folder: Path, devices: int, rank: int) -> None:
    """Leave the losses and the last weights of each in `devices-rank.pt`; for a process that was forked for it."""
    torch.set_num_threads(1)
    if devices > 1:
        os.environ["LOCAL_RANK"] = str(rank)
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=devices)
    tiny, left = Tiny(folder), {}
    training = tiny.training(trainer_settings=TrainerSettings("cpu", devices, "32-true"))
    for name, module in methods(tiny).items():
        losses = Losses()
        training.fit(module, tiny.split(), folder / f"{name}.checkpoint", {}, [losses])
        left[name] = {"losses": torch.tensor(losses.values), "weights": module.state_dict(), "findings": module.findings}
    torch.save(left, folder / f"{devices}-{rank}.pt")

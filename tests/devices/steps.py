"""Seven epochs of the whole game, and of methods whose loss depends on the whole batch, on one of several devices."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from torch import nn

from dau_lightning.baseline.amun import AMUN
from dau_lightning.baseline.bad_teacher import BadTeacher
from dau_lightning.baseline.boundary_shrink import BoundaryShrink
from dau_lightning.baseline.coun import CoUn
from dau_lightning.baseline.delete_class import Delete
from dau_lightning.baseline.finetune import FineTune
from dau_lightning.baseline.lotus import LoTUS
from dau_lightning.baseline.random_label import RandomLabel
from dau_lightning.baseline.regun import ReGUn
from dau_lightning.baseline.scrub_rewind import SCRUBRewind
from dau_lightning.baseline.sfron import SFRon
from dau_lightning.game.extra_loss.gradient_ascent import GradientAscentLoss
from dau_lightning.game.penalty import interpolated
from dau_lightning.game.projector import mlp
from dau_lightning.network.defender import Defender
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.trainer import TrainerSettings
from tests.whole_game import game, sensitivity
from tests.world import Tiny


class Losses(L.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values += [float(outputs["loss"])] if batch else []  # SCRUB's later epochs have no forget batch


def methods(tiny: Tiny) -> dict[str, Any]:
    """By name, each around new weights without statistics of a batch."""

    def defender() -> Defender:
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        return Defender(nn.Sequential(*layers, nn.Linear(32, 3)))

    dau = game(
        defender(),
        epochs=7,
        penalty=partial(interpolated, weight=10.0),
        projector=partial(mlp, width=8),
        term={"ascent": GradientAscentLoss(0.1)},
        sensitivity=sensitivity(copies=3, gradient=True, images_per_pass=8),
        adversarial_steps=15,
        pairing="class",
        pretraining_steps=6,
        pretraining_refresh=3,
    )

    def make(kind: type[SGDMethod], **settings: Any) -> UnlearningModule:
        return tiny.module(kind, defender=defender(), epochs=7, **settings)

    sfron = {"ascent_weight": 25.0, "interval_steps": 2, "clip_norm": 7.0, "forget_batch_size": 6}
    scrub = {"forget_epochs": 3, "temperature": 2.0, "cross_entropy_weight": 1.0, "divergence_weight": 0.5}
    cycled = {"forget_batch_size": 6, "lr": 0.01}
    coun = {"contrastive_weight": 1.0, "temperature": 0.1, "view_padding": None, "view_flip": None}
    return {
        "FT": make(FineTune),
        "Random label": make(RandomLabel),
        "SFRon": make(SFRon, **sfron),
        "CoUn": make(CoUn, **coun),
        "DAU": dau,
        "SCRUB+R": make(SCRUBRewind, **cycled, **scrub),
        "LoTUS": make(LoTUS, **cycled, alpha=8.0, retain_share=0.5),
        "Bad Teacher": make(BadTeacher, **cycled, retain_share=0.5),
        "ReGUn": make(ReGUn, **cycled, by_class=True),
        "DELETE": make(Delete, batch_size=6),
        "Boundary Shrink": make(BoundaryShrink, batch_size=6, fgsm_step=0.1),
        "AMUN": make(AMUN, batch_size=24, radius=0.04),  # a device takes whole neighbours: 12 of them, 6 in a step
    }


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

"""Measures UA, RA, TA, MIA and the attacker's accuracy at some steps of the unlearning, on a few samples."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torchmetrics import Metric

from dau_lightning.base.devices import is_rank_zero
from dau_lightning.data.loader import PlainLoader
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from dau_lightning.training.clock import Clock
from dau_lightning.training.mode import eager, evaluating, float32
from dau_lightning.training.module import UnlearningModule, log

ROLES = {"retain": "member", "test_retain": "nonmember", "forget": "forget"}


def outputs_of(
    defender: Defender, loaders: Mapping[str, PlainLoader], device: torch.device
) -> dict[str, tuple[Tensor, Tensor]]:
    """Logits `(N, K)` and features `(N, D)` of a model on each part, float32 on the CPU, computed on `device`."""
    found = {}
    with torch.no_grad(), evaluating(defender), float32(device), eager():
        for part, loader in loaders.items():
            batches = zip(*(defender(images.to(device)) for images, _ in loader), strict=True)
            logits, features = (torch.cat(batch).float().cpu() for batch in batches)
            found[part] = logits, features
    return found


def measured(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], attack: Metric) -> dict[str, float]:
    """UA, MIA, RA and TA in percent.

    Args:
        logits: float `(N, K)` of `retain`, `forget` and `test_retain`.
        targets: int64 `(N,)` of the same parts.
        attack: the attack that gives MIA; its state is not changed.
    """
    right = {part: 100 * float((logits[part].argmax(1) == targets[part]).double().mean()) for part in ROLES}
    fresh = attack.clone()
    for part, role in ROLES.items():
        fresh.update(role, logits[part], targets[part])
    found = {"UA": 100 - right["forget"], "MIA": fresh.compute().efficacy}
    return found | {"RA": right["retain"], "TA": right["test_retain"]}


class Trajectory(L.Callback):
    """Measures the defender before the first step, at evenly spaced steps, and after the last step.

    The measurement changes nothing in the training: modes and random states are restored, and its time is subtracted from
    the method's.

    Args:
        parts: images of `retain`, `forget` and `test_retain`.
        transform: turns pixels into inputs.
        attack: the attack that gives MIA.
        points: number of measurements, not counting the one after the last step.
    """

    def __init__(self, parts: Mapping[str, Images], transform: Transform, attack: Metric, points: int) -> None:
        self.loaders = {part: PlainLoader(images, transform) for part, images in parts.items()}
        self.attack, self.points = attack, points
        self.rows: list[dict[str, float]] = []  # measured by this process; loggers also have those from before a kill
        self.taken = 0  # steps, in this attempt

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Measure if the step is one of the points, and subtract the time that it takes from the method's run time."""
        assert isinstance(pl_module, UnlearningModule)
        total = pl_module.epochs * int(trainer.num_training_batches)
        step = pl_module.step % total
        self.taken = step + 1
        if step in {total * point // self.points for point in range(self.points)}:
            start = Clock.now(pl_module.device)
            if step == 0:  # the training may begin again: the curve is that of its last attempt
                self.rows.clear()
            self._measure(pl_module, step)
            pl_module.untimed += Clock.now(pl_module.device) - start

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure after the last step; the clock, the first of the callbacks, has stopped by then."""
        assert isinstance(pl_module, UnlearningModule)
        self._measure(pl_module, self.taken)

    def _measure(self, module: UnlearningModule, step: int) -> None:
        device = module.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            logits = {part: found for part, (found, _) in outputs_of(module.defender, self.loaders, device).items()}
            if not all(bool(torch.isfinite(values).all()) for values in logits.values()):
                return  # `Guard` stops such a training
            targets = {part: loader.part.targets for part, loader in self.loaders.items()}
            values = (measured(logits, targets, self.attack) if is_rank_zero() else {}) | module.dynamics()
        self.rows.append({"step": step, **values})
        log(module.loggers, "dynamics", step, values)

"""Inputs, a query and a method for tests of the attacker that need no defender."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from dau_lightning.data.loader import Batch
from dau_lightning.data.transform import Transform
from dau_lightning.game.attacker_input import AttackerInputs, DefenderOutputs
from dau_lightning.game.pretraining import Pretraining

AS_THEY_ARE = Transform(mean=(0.0,), std=(1.0,), crop_padding=0, flip=False)


def random_inputs(count: int, shift: float, seed: int) -> AttackerInputs:
    """Predictions around a shift, on either side of 0."""
    generator = torch.Generator().manual_seed(seed)
    prediction = shift + torch.randn(count, 3, generator=generator)
    return AttackerInputs(prediction, torch.rand(count, 3, generator=generator), torch.arange(count) % 3)


def method(weights: nn.Module | None = None, transform: Transform = AS_THEY_ARE, seed: int = 0, first: int = 0) -> Any:
    """What the pre-training needs of a method; `first` is the step of a checkpoint."""
    optimizer = torch.optim.SGD(weights.parameters(), 0.1) if weights else None
    found: list[tuple[int, float]] = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: found.append((step, metrics["pretraining/attacker_loss"])))
    trainer = SimpleNamespace(optimizers=[None, optimizer], precision_plugin=SimpleNamespace(forward_context=nullcontext))
    return SimpleNamespace(
        trainer=trainer,
        data=SimpleNamespace(transform=transform),
        defender=None,
        batch_norm="batch",
        seed=seed,
        loggers=[logger],
        logged=found,
        memory={},
        fill_memory=lambda pretrained: {"pretrained": first},
        save_checkpoint=lambda only_if_due: None,
    )


class Stored(Pretraining):
    """Pre-training on given inputs, in place of those of a defender."""

    def __init__(self, make: Callable[[int], tuple[AttackerInputs, AttackerInputs]], *settings: Any) -> None:
        super().__init__(look, *settings)
        self.make = make

    def training_inputs(self, module: Any, epoch: int) -> tuple[AttackerInputs, AttackerInputs]:
        return self.make(epoch)


def look(defender: Any, first: Batch, second: Batch, mode: str) -> list[DefenderOutputs]:
    """A query whose inputs depend on the whole joint batch, as with batch-norm, and on noise, as the sensitivity does."""
    pixels = torch.cat([first.images, second.images]).flatten(1)[:, :3]
    targets = torch.cat([first.targets, second.targets])
    inputs = AttackerInputs(pixels, pixels - pixels.mean(0) + torch.randn_like(pixels), targets)
    middle = len(first.targets)
    return [DefenderOutputs(inputs.at(part), pixels, pixels) for part in (slice(middle), slice(middle, None))]

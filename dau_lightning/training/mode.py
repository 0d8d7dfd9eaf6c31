"""Context managers that set a mode of a network: batch-norm, frozen parameters, evaluation, float32, uncompiled."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

BATCH_NORM = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


@contextmanager
def batch_norm(network: nn.Module, mode: str) -> Iterator[None]:
    """Set the mode of a network's batch-norm layers, and restore it after the block; other layers keep their mode.

    Args:
        network: the network.
        mode: `batch`: use the batch's statistics and leave the running ones; `update`: use the batch's statistics and update
            the running ones; `running`: use the running statistics and leave them.

    Raises:
        ValueError: `mode` is none of these.
    """
    if mode not in ("batch", "update", "running"):
        raise ValueError(f"batch_norm must be batch, update or running, got {mode!r}")
    layers = [module for module in network.modules() if isinstance(module, BATCH_NORM)]
    before = [(layer.training, layer.track_running_stats) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.track_running_stats = mode != "running", mode != "batch"
        yield
    finally:
        for layer, (training, track) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats = training, track


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute no gradient for a module's parameters; gradients still flow through the module to its inputs."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and restore its mode after the block."""
    training = module.training
    try:
        module.eval()
        yield
    finally:
        module.train(training)


def float32(device: torch.device) -> torch.autocast:
    """Switch autocast off on a device; `trainer.process_settings` switches TF32 off."""
    return torch.autocast(device.type, enabled=False)


def eager() -> AbstractContextManager[None]:
    """Run compiled networks uncompiled: a batch shape that occurs once is not worth compiling."""
    return torch.compiler.set_stance("force_eager")

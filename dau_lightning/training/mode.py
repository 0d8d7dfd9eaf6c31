"""Modes of a network for the time of a `with` block: batch-norm, frozen parameters, evaluation, precision, not compiled."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norm(network: nn.Module, mode: str) -> AbstractContextManager[None]:
    """Run a network with its batch-norm layers in a mode, all else unchanged; the former modes return afterwards.

    Args:
        network: whose layers.
        mode: `batch`: statistics of the batch, running ones neither used nor changed; `update`: of the batch, running
            ones changed; `running`: running ones used, unchanged.

    Raises:
        ValueError: another mode.
    """
    if mode not in ("batch", "update", "running"):
        raise ValueError(f"batch_norm must be batch, update or running, got {mode!r}")
    return _batch_norm(network, training=mode != "running", track=mode != "batch")


@contextmanager
def _batch_norm(network: nn.Module, training: bool, track: bool) -> Iterator[None]:
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(layer.training, layer.track_running_stats) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.track_running_stats = training, track
        yield
    finally:
        for layer, (training, track) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats = training, track


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Give a module's parameters no gradient inside; what flows through it to its inputs is unchanged."""
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
    """Put a module in evaluation mode inside, and back afterwards."""
    training = module.training
    try:
        module.eval()
        yield
    finally:
        module.train(training)


def float32(device: torch.device) -> torch.autocast:
    """Let a device use no shorter type inside; `Training.trainer` sees to it that float32 is not shortened itself."""
    return torch.autocast(device.type, enabled=False)


def eager() -> AbstractContextManager[None]:
    """Let compiled networks run uncompiled inside: shapes and transforms that come once are not worth a compilation."""
    return torch.compiler.set_stance("force_eager")

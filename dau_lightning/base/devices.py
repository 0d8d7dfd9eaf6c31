"""Training on several devices: one process a device, equal weights, each batch shared out among them.

Each process passes its share of the images through the defender. `gather_shares` then gives every process the outputs of
the whole batch, so that each computes the loss that a single device would. Rank zero alone reads and writes files.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from dau_lightning.base.child_process import LEADER
from dau_lightning.base.error import InputError, TrainingError

PATIENCE = timedelta(days=1)  # the other devices wait while rank zero evaluates, or waits for the training of another run
Result = TypeVar("Result")


class UnwrappedDDP(DDPStrategy):
    """One process a device, without torch's DDP wrapper, which allows one backward pass a step.

    `average_over_devices` averages the gradients in its place.
    """

    def configure_ddp(self) -> None:
        """Leave the module unwrapped."""


def launch(accelerator: str, devices: int, **_: Any) -> None:
    """Start this command once more for each further device and connect the processes; does nothing for one device.

    Raises:
        InputError: fewer processes run than there are devices.
    """
    if devices > 1 and not dist.is_initialized():
        from lightning.fabric import Fabric
        from lightning.fabric.plugins.environments.lightning import LightningEnvironment
        from lightning.fabric.strategies.ddp import DDPStrategy as FabricDDP

        os.environ[LEADER] = str(os.getpid())
        # LightningEnvironment: inside a Slurm job Lightning would leave the start of the processes to Slurm.
        fabric = Fabric(
            accelerator=accelerator, devices=devices, strategy=FabricDDP(timeout=PATIENCE), plugins=[LightningEnvironment()]
        )
        fabric.launch()
        if world_size() != devices:
            raise InputError(f"trainer.devices={devices} needs as many processes, there are {world_size()}")


def world_size() -> int:
    """Number of devices that work on this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this device, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process reads and writes the files of the run."""
    return rank() == 0


@contextmanager
def _explaining_a_lost_process() -> Iterator[None]:
    """Turn the error of a communication whose other side has ended into one that says what to do."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "the process of another device ended: device-N.txt in the run folder may tell why, and the same command goes on"
        ) from error


def broadcast(value: Result) -> Result:
    """Rank zero's value, on every device. All devices must call it; `value` is ignored on the others."""
    if world_size() == 1:
        return value
    values = [value]
    with _explaining_a_lost_process():
        dist.broadcast_object_list(values)
    return values[0]


def on_rank_zero(work: Callable[[Callable[[], Result]], Any], train: Callable[[], Result]) -> Any:
    """Do work on rank zero alone, within which all devices may train; its result, on every device.

    Args:
        work: runs on rank zero and takes a function to call where the training is needed.
        train: the training, run on all devices each time that the work calls that function.
    """
    if world_size() == 1:
        return work(train)
    if not is_rank_zero():
        while broadcast(False):
            train()
        return broadcast(None)

    def train_on_all() -> Result:
        broadcast(True)
        return train()

    result = work(train_on_all)
    broadcast(False)
    return broadcast(result)


class _GatherShares(torch.autograd.Function):
    """All-gather whose backward needs no communication, unlike Lightning's: every device has the same loss.

    The gradient of a share is multiplied by the number of devices because `average_over_devices` divides by it.
    """

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:
        shares = [torch.empty_like(share, memory_format=torch.contiguous_format) for _ in range(world_size())]
        with _explaining_a_lost_process():
            dist.all_gather(shares, share.contiguous())
        return torch.stack(shares, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return world_size() * gradients[0][rank() :: world_size()]


def gather_shares(share: Tensor) -> Tensor:
    """The whole batch `(B, ...)` from every device's share `(B / world_size, ...)`, in the order of the batch.

    All devices must compute the same loss from it. The gradient, averaged over the devices, is then that of a single
    device, for parameters before and after this call.
    """
    return share if world_size() == 1 else _GatherShares.apply(share)  # pyright: ignore[reportReturnType]


def noise_like(share: Tensor) -> Tensor:
    """Standard normal noise for this device's share of a batch: the part of it that a single device would draw."""
    return torch.randn_like(torch.cat([share] * world_size()))[rank() :: world_size()]


def average_over_devices(optimizer: torch.optim.Optimizer, *modules: nn.Module) -> None:
    """Average the gradients, and running statistics, over the devices before an optimizer's step.

    Args:
        optimizer: its parameters' gradients are averaged.
        modules: their floating-point buffers are averaged.
    """
    if world_size() == 1:
        return
    values = [weight.grad for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
    values += [buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()]
    flat = torch.cat([value.flatten() for value in values])
    with _explaining_a_lost_process():
        dist.all_reduce(flat)
    for value, mean in zip(values, (flat / world_size()).split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))

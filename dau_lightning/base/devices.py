"""Several devices, a process each with the same weights: a batch is shared out, and what the shares give is put together.

Every device takes its share of the images through the defender; `together` makes the whole batch of the outputs, and from
there on each device computes what a single one would. One process, the leader, reads and writes files.
"""

import os
import platform
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

PATIENCE = timedelta(days=1)  # of devices that wait for the leader, while it evaluates or waits for another run's training
Result = TypeVar("Result")


class Alike(DDPStrategy):
    """A process a device. In place of torch's wrapper, made for one backward pass a step, `keep_alike` averages gradients."""

    def configure_ddp(self) -> None:
        """Leave the module as it is."""


def gather(accelerator: str, devices: int, **_: Any) -> None:
    """Start this command once more for every further device, and come together with them; nothing for one device.

    Raises:
        InputError: a process is missing.
    """
    if devices > 1 and not dist.is_initialized():
        from lightning.fabric import Fabric
        from lightning.fabric.strategies.ddp import DDPStrategy as Start

        os.environ[LEADER] = str(os.getpid())
        Fabric(accelerator=accelerator, devices=devices, strategy=Start(timeout=PATIENCE)).launch()
        if count() != devices:
            raise InputError(f"trainer.devices={devices} needs as many processes, there are {count()}")


def count() -> int:
    """Number of devices that work on this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this device among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def leads() -> bool:
    """Whether this process reads and writes the files of the run."""
    return rank() == 0


@contextmanager
def _all_there() -> Iterator[None]:
    """What is done together, and what to say where one of them has ended."""
    try:
        yield
    except RuntimeError as error:  # of whatever carries the messages
        raise TrainingError(
            "the process of another device ended: device-N.txt in the run folder may tell why, and the same command goes on"
        ) from error


def agreed(value: Result) -> Result:
    """The leader's value, on every device; all of them must ask."""
    if count() == 1:
        return value
    values = [value]
    with _all_there():
        dist.broadcast_object_list(values)
    return values[0]


def led(work: Callable[[Callable[[], Result]], Any], train: Callable[[], Result]) -> Any:
    """What the leader's work gives, which may call a training in which all take part.

    Args:
        work: takes the training; done by the leader alone.
        train: on all devices, as often as the work calls it.
    """
    if count() == 1:
        return work(train)
    if not leads():
        while agreed(False):
            train()
        return agreed(None)

    def with_all() -> Result:
        agreed(True)
        return train()

    result = work(with_all)
    agreed(False)
    return agreed(result)


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run measures on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


class _Together(torch.autograd.Function):
    """All shares; what each device's loss says of its own is `count` times too little for the mean over devices."""

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:
        shares = [torch.empty_like(share, memory_format=torch.contiguous_format) for _ in range(count())]
        with _all_there():
            dist.all_gather(shares, share.contiguous())
        return torch.stack(shares, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return count() * gradients[0][rank() :: count()]


def together(share: Tensor) -> Tensor:
    """The rows `(B, ...)` of a batch from every device's share `(B / count, ...)`, in the order of the batch.

    All devices must compute the same loss of them. Its gradient is then right in the mean over the devices, for parameters
    before and after this.
    """
    return share if count() == 1 else _Together.apply(share)  # pyright: ignore[reportReturnType]


def noise_like(share: Tensor) -> Tensor:
    """Standard normal noise for this device's share of a batch: of that which a single device would draw."""
    return torch.randn_like(torch.cat([share] * count()))[rank() :: count()]


def keep_alike(optimizer: torch.optim.Optimizer, *modules: nn.Module) -> None:
    """Average over the devices what may differ among them, before a step of an optimizer.

    Args:
        optimizer: of the parameters whose gradients are averaged.
        modules: whose running statistics are averaged.
    """
    if count() == 1:
        return
    values = [weight.grad for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
    values += [buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()]
    flat = torch.cat([value.flatten() for value in values])
    with _all_there():
        dist.all_reduce(flat)
    for value, mean in zip(values, (flat / count()).split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))

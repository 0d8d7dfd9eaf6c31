"""The most memory that a work takes beyond what was in use before it."""

from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes, of the device or, on Linux, resident ones of this process; -1 where neither can be told.

    Freed memory that the allocator kept makes a second work of a process look small on a CPU: see `alone`.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    if not CLEAR.exists():
        work()
        return -1
    CLEAR.write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    work()
    return max(0, _kilobytes("VmHWM") - before) * 1024


def alone(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The results of calls of a module's function, each in a new process that has imported the module and done nothing else."""
    processes = get_context("forkserver")
    processes.set_forkserver_preload([work.__module__])
    with processes.Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(work, arguments, chunksize=1)


def _kilobytes(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])

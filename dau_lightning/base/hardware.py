"""What a run is measured on: the device, the processor and their memory."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

CPUINFO = Path("/proc/cpuinfo")  # of Linux; of ARM it has no model name
CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # of Linux, version 2: this process's group, all groups


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run is measured on: type and model name of the device, number of cores and threads, the processor's vectors."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    about = {"device": device.type, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    return about | {"capability": torch.backends.cpu.get_cpu_capability()}  # AVX2, AVX512, ...


def total_memory(device: torch.device) -> int:
    """Bytes of memory that the device has, or on a CPU the machine, or a Slurm job or container on it; free or not."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    own = re.search(r"^0::/(.*)$", CGROUP.read_text(), re.MULTILINE) if CGROUP.is_file() else None
    folder = CGROUPS / (own[1] if own else "")
    limits = [file.read_text().strip() for above in (folder, *folder.parents) if (file := above / "memory.max").is_file()]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *(int(limit) for limit in limits if limit != "max")])


def _processor() -> str:
    """The model name of the processor, or its architecture where the system tells no more."""
    found = re.search(r"^model name\s*: *(\S.*)$", CPUINFO.read_text(), re.MULTILINE) if CPUINFO.is_file() else None
    return found[1].strip() if found else platform.processor() or platform.machine()

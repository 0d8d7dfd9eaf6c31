"""The most memory that training takes, beyond what the program and its images take before."""

import torch

from benchmarks.clock import ByTurns
from benchmarks.memory import alone, peak_bytes
from benchmarks.section.overhead import CPU, CUDA
from benchmarks.table import Table
from benchmarks.workload import Workload


def measure(device: torch.device) -> Table:
    """A row a network and method, with the batches of the overhead."""
    cases = [
        (network, method, settings, images) for network, method, settings, images, _ in (CUDA if device.type == "cuda" else CPU)
    ]
    measured = alone(training, [(device, *case) for case in cases])
    rows = [
        {"network": network, "method": method, "batches": batches, "MiB": peak / 2**20}
        for (network, method, *_), (batches, peak) in zip(cases, measured, strict=True)
    ]
    return Table("Peak memory of training", rows, "weights, their gradients and momenta, activations; a process each")


def training(device: torch.device, network: str, method: str, settings: list[str], images: int) -> tuple[str, int]:
    """The batches, and bytes of a few steps."""
    work = Workload(network, method, [*settings, *(["baseline.pretraining_steps=0"] if method == "dau_paper" else [])], images)
    module = work.module()
    peak = peak_bytes(lambda: work.fit(module, ByTurns(lambda: None, blocks=1, warm_up=1)), device)
    return " + ".join(map(str, module.batch_sizes.values())), peak

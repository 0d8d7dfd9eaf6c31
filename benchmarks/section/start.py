"""From the command to `--help`, and to the first step of a training."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.table import Table
from benchmarks.workload import CONF

REPOSITORY = CONF.parent
HELPS, STEPS = 5, 3  # times


def measure(device: torch.device) -> Table:
    """Two rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"command": "python train.py --help", "seconds": median(_help(folder) for _ in range(HELPS)), "target": 0.6},
            {
                "command": "python train.py, to the first step",
                "seconds": median(until_a_step(folder)[0] for _ in range(STEPS)),
                "target": 10,
            },
        ]
    return Table("Starting", rows, f"medians of {HELPS} and {STEPS}; with an empty store the first step is Retrain's")


def _help(folder: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, REPOSITORY / "train.py", "--help"], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def until_a_step(folder: str, *options: str) -> tuple[float, str]:
    """Seconds until the metrics have a row, which the first step of a training writes; what went to the error stream.

    Args:
        folder: to work in.
        options: of Python.

    Raises:
        RuntimeError: the command ended before.
    """
    runs = tempfile.mkdtemp(dir=folder)
    metrics, errors = Path(runs, "metrics.csv"), Path(f"{runs}.errors")
    start = time.perf_counter()
    command = [sys.executable, *options, REPOSITORY / "train.py", f"hydra.run.dir={runs}", f"store.root={runs}/store"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline"}
    with (
        errors.open("w") as stream,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stream) as process,
    ):
        while not metrics.exists():
            if process.poll() is not None:
                raise RuntimeError(f"train.py ended before its first step: {errors.read_text()[-500:]}")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds, errors.read_text()

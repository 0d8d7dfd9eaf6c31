"""From the command to `--help`, and to the first step of a training."""

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import torch

from benchmarks.table import Table
from benchmarks.workload import CONF

REPOSITORY = CONF.parent
TIMES = 5


def measure(device: torch.device) -> Table:
    """Two rows."""
    with tempfile.TemporaryDirectory() as folder:
        first = [_until_a_step(folder)]
        rows = [
            {"command": "python train.py --help", "seconds": median(_help(folder) for _ in range(TIMES)), "target": 0.6},
            {"command": "python train.py, to the first step", "seconds": median(first), "target": 10},
        ]
    return Table("Starting", rows, "the second with an empty store: the first step is Retrain's")


def _help(folder: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, REPOSITORY / "train.py", "--help"], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def _until_a_step(folder: str) -> float:
    """Seconds until the metrics have a row, which the first step of a training writes."""
    runs = tempfile.mkdtemp(dir=folder)
    start = time.perf_counter()
    command = [sys.executable, REPOSITORY / "train.py", f"hydra.run.dir={runs}", f"store.root={runs}/store"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not os.path.exists(f"{runs}/metrics.csv"):
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds

"""The same sweep on Slurm and with joblib gives the same numbers; `make test-slurm` runs this beside a Slurm of one node."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.tiny import TINY

TRAIN = Path(__file__).parents[2] / "train.py"
EIGHT = ["seed=0,1", "scheme=random,classwise", "baseline=finetune,retrain"]
HALF_BAD = ["baseline=finetune", "baseline.epochs=1", "baseline.batch_size=200", "baseline.lr=0.05,1e30"]
TIMES = {"seconds", "time_ratio", "store"}  # the one thing that may differ, and where it was


def sweep(folder: Path, launcher: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a sweep in a folder of its own, with a store of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, TRAIN, "-m", f"hydra/launcher={launcher}", *arguments, *TINY]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def numbers(folder: Path) -> dict[Path, Any]:
    """What the finished runs in a folder hold besides times."""
    found = {}
    for path in sorted((folder / "runs").rglob("result.json")):
        rows = json.loads(path.read_text())["rows"]
        found[path.relative_to(folder)] = {
            kind: {column: value for column, value in row.items() if column not in TIMES} for kind, row in rows.items()
        }
    return found


def main() -> None:
    """Both sweeps, then one with a job that fails."""
    assert "SLURM_CONF" in os.environ, "run it by `make test-slurm`"
    with tempfile.TemporaryDirectory() as temporary:
        slurm, cores = Path(temporary) / "slurm", Path(temporary) / "cores"
        for folder, launcher in ((slurm, "slurm"), (cores, "cores")):
            done = sweep(folder, launcher, *EIGHT)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "8 jobs: 8 finished" in done.stdout, done.stdout
        assert len(list((slurm / "runs" / ".submitit").rglob("*_result.pkl"))) == 8, "the jobs did not go through Slurm"
        assert len(numbers(slurm)) == 8
        assert numbers(slurm) == numbers(cores)
        assert "8 finished before" in sweep(slurm, "slurm", *EIGHT).stdout
        audit = [sys.executable, "-m", "dau_lightning.audit", "runs", "minutes=0.001", "jobs=2", "slurm.timeout_min=5"]
        done = subprocess.run(audit, cwd=slurm, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(list((slurm / "runs").rglob("audit.json"))) == 8, done.stdout + done.stderr
        assert len(list((slurm / "runs" / ".submitit" / "audit").rglob("*_result.pkl"))) == 8, "they did not go through Slurm"
        done = sweep(slurm, "slurm", *HALF_BAD)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "2 jobs: 1 failed, 1 finished" in done.stdout, done.stdout + done.stderr
        assert "failed: baseline.lr=1e+30: FT: " in done.stderr, done.stderr
    print("eight jobs on Slurm and on the cores of this machine: the same numbers; a failed one is named")


if __name__ == "__main__":
    main()

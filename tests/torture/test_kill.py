"""The quick form of `make torture`."""

import os
import subprocess
import sys
from pathlib import Path


def test_runs_killed_in_every_phase_continue_to_the_same_bytes():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.torture.kill", "quick"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 kills, 8 runs continued to the same bytes" in done.stdout

"""Inside another Hydra application, `import dau_lightning` and `unlearn()` leave the process as they found it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_unlearn_in_a_hydra_application_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tests.host"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"outputs", "unlearned", "diverged"}  # "outputs" is the application's
    changes = done.stdout.partition("CHANGES\n")[2].strip()
    assert not changes, f"\n{changes}"

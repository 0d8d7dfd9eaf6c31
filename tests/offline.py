"""Weights & Biases without credentials, whatever the machine has."""

import os
from pathlib import Path

import pytest


def without_credentials(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Let W&B find no settings of the machine's user, and write its own files below another home."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("NETRC", str(home / "netrc"))
    for name in ("CACHE", "CONFIG", "DATA"):
        patch.setenv(f"WANDB_{name}_DIR", str(home / name))

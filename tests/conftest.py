"""Fixtures. The process that hands tests out to others reads this file too: it imports no torch."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dau_lightning.run.command_line import main


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """See `world.Tiny`."""
    from tests.world import Tiny

    return Tiny(tmp_path)


@pytest.fixture
def make_images() -> Callable[..., Any]:
    """See `world.random_images`."""
    from tests.world import random_images

    return random_images


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command in this process; gives what it printed."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        main()
        return capsys.readouterr().out

    return call

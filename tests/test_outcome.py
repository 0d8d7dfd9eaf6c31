"""DAU forgets: a run with its presets, by the real entry point."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import results


def test_dau_forgets_a_class_and_keeps_the_others(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("dataset=digits", "scheme=classwise", "seed=0", "reference=off", "figures=false", "dynamics=0", "wandb.mode=disabled")
    ((_, result),) = results().items()
    original, dau = result["rows"]["original"], result["rows"]["dau"]
    assert original["UA"] < 5
    assert dau["UA"] >= 95
    assert dau["MIA"] >= 95
    assert dau["RA"] >= original["RA"] - 3

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


@pytest.mark.slow
def test_to_forget_one_image_costs_no_accuracy(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = "baseline.min_steps=150", "baseline.lr=0.05", "baseline.adversarial_weight=0.05"  # and not the preset
    run("scheme.fraction=0.0005", *defaults, "reference=off", "figures=false", "dynamics=0", "wandb.mode=disabled")
    ((_, result),) = results().items()
    original, dau = result["rows"]["original"], result["rows"]["dau"]
    assert result["counts"]["forget"] == 1
    assert dau["RA"] >= original["RA"] - 1
    assert dau["TA"] >= original["TA"] - 1
    assert dau["attempts"] == 1


@pytest.mark.slow
def test_dau_makes_random_images_like_unseen_ones(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("selection=true", "network.width=12", "figures=false", "dynamics=0", "wandb.mode=disabled")
    ((_, result),) = results().items()
    original, dau = result["rows"]["original"], result["rows"]["dau"]
    assert (result["dataset"], result["scheme"]) == ("fashion", "random")
    assert original["UA"] < original["judge_error"] - 8  # a generalisation gap, or there is nothing to forget
    assert abs(dau["UA"] - dau["judge_error"]) < 8
    assert dau["MIA"] > original["MIA"] + 8
    assert dau["score"] < original["score"]
    assert dau["RA"] >= original["RA"] - 3

"""Training by the recipe is pinned: stored originals and Retrains are only reused while it stays the same."""

import csv
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train
from dau_lightning.store import RECIPE_NUMBER

# Of the digits original after 3 epochs: loss of its first step, and the norm of its weights. A change of more than
# rounding means that stored originals are not what a training gives today: raise RECIPE_NUMBER and enter the new values.
PINNED = {1: (2.365689, 12.49480)}


def test_the_recipe_gives_what_its_number_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["baseline=original", "reference=off", "recipe.epochs=3", "wandb.mode=disabled", "trainer.accelerator=cpu"]
    monkeypatch.setattr(sys, "argv", ["train.py", *settings])
    train.main()
    (table,) = Path("runs").rglob("metrics.csv")
    with open(table) as file:
        loss = next(float(line["original/loss"]) for line in csv.DictReader(file) if line["original/loss"])
    (weights,) = Path("runs").rglob("unlearned.safetensors")
    norm = float(
        torch.cat([tensor.flatten().float() for name, tensor in load_file(weights).items() if "weight" in name]).norm()
    )
    assert (loss, norm) == pytest.approx(PINNED[RECIPE_NUMBER], rel=1e-3)


def test_a_run_takes_no_part_in_the_slurm_around_it(tiny, tmp_path, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text("")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)  # Lightning would warn, and a warning is an error here
    for name, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "sweep"}.items():
        monkeypatch.setenv(name, value)
    assert tiny.experiment()._trainer([]).world_size == 1

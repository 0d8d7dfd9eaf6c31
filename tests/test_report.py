import json
from pathlib import Path

import numpy as np
import pytest

from dau_lightning import report
from dau_lightning.error import InputError
from dau_lightning.metric.disparity import COLUMNS, disparity, gaps

RETRAIN = np.array([[5.0, 14.0, 100.0, 94.0], [7.0, 12.0, 99.0, 95.0], [6.0, 13.0, 100.0, 93.0]])
METHOD = np.array([[3.0, 8.0, 99.5, 93.0], [9.0, 15.0, 97.5, 96.0], [6.5, 12.0, 99.0, 94.5]])


def write(root: Path, seed: int, name: str = "dau", lr: float = 0.1, split: str = "s", retrained: float = 0) -> Path:
    """A finished run of made-up rows."""
    numbers = {"retrain": RETRAIN[seed] - retrained, "original": RETRAIN[seed] + 1, name: METHOD[seed] * (lr / 0.1)}
    rows = {}
    for kind, values in numbers.items():
        row = dict(zip(COLUMNS, map(float, values), strict=True))
        reference = dict(zip(COLUMNS, map(float, RETRAIN[seed]), strict=True))
        label = {"retrain": "Retrain", "original": "Original", "dau": "DAU", "finetune": "FT"}[kind]
        extra = {"TA_forgotten": None, "attacks": {}, "gaps": gaps(row, reference), "disparity": disparity(row, reference)}
        rows[kind] = {"label": label, **row, "seconds": 10.0 * (seed + 1), **extra}
    result = {"dataset": "digits", "network": "convnet", "scheme": "random", "sparsity": "dense", "baseline": name}
    result |= {"seed": seed, "split_hash": f"{split}{seed}", "selection": False, "forgotten_classes": []}
    result |= {"hardware": {"device": "cpu", "name": "x", "threads": 1}, "settings": {"baseline": {"lr": lr}}, "rows": rows}
    folder = root / f"{name}-{seed}-{lr}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_rows_over_seeds_against_numpy(tmp_path):
    for seed in range(3):
        write(tmp_path, seed)
    ((cell, (header, rows)),) = report.seeds_tables([tmp_path]).items()
    assert cell == ("digits", "convnet", "random", "dense", "evaluation")
    assert [row[0] for row in rows] == ["Retrain", "Original", "DAU"]
    found = dict(zip(header, rows[2], strict=True))
    for column, values in zip(COLUMNS, METHOD.T, strict=True):
        assert found[column] == f"{values.mean():.2f}±{values.std(ddof=1):.2f}"
    by_seed = np.abs(METHOD - RETRAIN).mean(axis=1)
    assert found["disparity"] == f"{by_seed.mean():.2f}±{by_seed.std(ddof=1):.2f}"
    assert found["of means"] == f"{np.abs(METHOD.mean(0) - RETRAIN.mean(0)).mean():.2f}"
    assert (found["seconds"], found["seeds"]) == ("20.00±10.00", "3")
    for column, values in zip(COLUMNS, np.abs(METHOD - RETRAIN).T, strict=True):
        assert found[f"Δ{column}"] == f"{values.mean():.2f}±{values.std(ddof=1):.2f}"


def test_what_differs_names_the_row(tmp_path):
    for lr in (0.1, 0.2):
        write(tmp_path, 0, lr=lr)
    write(tmp_path, 0, name="finetune")
    ((_, (_, rows)),) = report.seeds_tables([tmp_path]).items()
    assert [row[0] for row in rows] == ["Retrain", "Original", "DAU lr=0.1", "DAU lr=0.2", "FT"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "other", "name": "finetune"}, "different splits"),
        ({"seed": 0}, "two runs of DAU with seed 0"),
        ({"name": "finetune", "retrained": 1.0}, "Retrain with seed 0 has other numbers"),
    ],
)
def test_what_cannot_share_a_table(tmp_path, changes, message):
    write(tmp_path / "a", 0)
    write(tmp_path / "b", **({"seed": 0} | changes))
    with pytest.raises(InputError, match=message):
        report.seeds_tables([tmp_path])


def test_no_finished_run(tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        report.seeds_tables([tmp_path])


def test_markdown(tmp_path, capsys):
    write(tmp_path, 0)
    report.main(["--markdown", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert "**digits, convnet, random, dense, evaluation**" in lines
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 5
    assert {line.count("|") for line in table} == {table[0].count("|")}


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(tmp_path, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for seed in range(3):
        folder = write(tmp_path, seed)
    report.main([str(tmp_path)])
    report.print_run(json.loads((folder / "result.json").read_text()), folder)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("Original") == 3  # no name is broken
    assert max(map(len, printed.splitlines()[:-1])) <= columns

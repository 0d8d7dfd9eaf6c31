import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dau_lightning.base.error import InputError
from dau_lightning.report.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(write, tmp_path):
    for seed in range(2):
        write(seed)
    return str(tmp_path / "runs")


@pytest.mark.parametrize(
    ("style", "start"),
    [
        ("terminal", "\ndigits, convnet, random, dense; seeds 0, 1\n"),
        ("markdown", "**digits, convnet, random, dense; seeds 0, 1**\n"),
        ("csv", "dataset,network,scheme,selection,sparsity,"),
        ("latex", "% \\usepackage{booktabs,graphicx}\n"),
    ],
)
def test_formats_on_the_terminal_and_in_a_file(runs, tmp_path, capsys, style, start):
    main([runs, "--format", style])
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    said = "standard deviations over seeds, with n - 1 in the denominator"
    assert said in " ".join(printed.split())  # the terminal breaks lines
    path = tmp_path / "new" / "table"
    main([runs, "--format", style, "--output", str(path)])
    assert path.read_text() == printed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("style", ["terminal", "markdown", "latex", "html"])
def test_every_warning_stands_in_every_format_with_the_number_of_seeds(write, tmp_path, capsys, style):
    for seed in range(2):
        write(seed, rows={"dau": {"flags": [f"AUC 4{seed}.5 is below 50"]}})
    page = tmp_path / "page.html"
    main([str(tmp_path), *(["--html", str(page)] if style == "html" else ["--format", style])])
    text = page.read_text() if style == "html" else capsys.readouterr().out
    assert "DAU, 2 of 2 seeds (0, 1): AUC 40.5-41.5 is below 50." in " ".join(text.split())


def test_missing_rows_are_named(write, tmp_path, capsys):
    for seed in range(2):
        write(seed)
        write(seed, "finetune", scheme="classwise")
    write(0, "fisher")
    main([str(tmp_path), "--format", "markdown"])
    printed = capsys.readouterr()
    assert "FF has 1 of 2 seeds: misses seed 1.  \nMeans over different seeds are no comparison" in printed.out
    assert printed.err.splitlines() == [
        "digits, convnet, classwise has no row of DAU, FF, which another scheme has",
        "digits, convnet, random has no row of FT, which another scheme has",
    ]


def test_seeds(runs, capsys):
    main([runs, "--seeds", "1", "--format", "markdown"])
    printed = capsys.readouterr().out
    assert "dense; seed 1**" in printed
    assert "deviations" not in printed
    with pytest.raises(InputError, match="--seeds must be integers such as 0,1,2, got '0,x'"):
        main([runs, "--seeds", "0,x"])


def test_figures(runs, tmp_path, capsys):
    main([runs, "--figures", str(tmp_path / "plots"), "--format", "csv"])
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        f"{name}-digits-convnet.{suffix}" for name in ("attacks", "cost") for suffix in ("png", "svg")
    ]
    printed = capsys.readouterr()
    assert printed.out.startswith("dataset,")
    assert "written" not in printed.out  # the table alone goes where a pipe goes
    assert printed.err.count("written: ") == 4


def test_nothing_is_written_where_something_is_wrong(write, tmp_path):
    write(0)
    write(1, "finetune")
    output = ["--output", str(tmp_path / "table"), "--figures", str(tmp_path / "plots")]
    with pytest.raises(InputError, match="misses seed"):
        main([str(tmp_path), "--seeds", "0,1", *output])
    attacks = {kind: {"attacks": {}} for kind in ("retrain", "original", "dau")}
    write(0, folder="bare", rows=attacks, reference=False)
    needed = r"a method beside a Retrain, or metric=\[confidence,entropy,modified_entropy,probability\]"
    with pytest.raises(InputError, match=f"--figures needs runs with {needed}, there is none"):
        main([str(tmp_path / "bare"), *output])
    assert not (tmp_path / "table").exists()
    assert not (tmp_path / "plots").exists()


def test_costs_are_drawn_without_the_attacks(write, tmp_path):
    write(0, rows={kind: {"attacks": {}} for kind in ("retrain", "original", "dau")})
    main([str(tmp_path), "--html", str(page := tmp_path / "page.html")])
    text = page.read_text()
    assert 'alt="cost-digits-convnet' in text
    assert 'alt="attacks' not in text
    assert "grey band" not in text  # without a second Retrain there is none


def test_a_file_that_cannot_be_written_leaves_nothing_half_written(runs, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OSError, match="file"):  # ends in one line, as an unusable folder anywhere else does
        main([runs, "--figures", str(tmp_path / "plots"), "--output", str(tmp_path / "file" / "table")])
    assert (tmp_path / "file").read_text() == "kept"
    assert not (tmp_path / "plots").exists()


def test_the_command_starts_without_torch_and_says_errors_in_one_line(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "dau_lightning.report", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    *imported, error = done.stderr.splitlines()
    assert error.startswith(f"error: no finished run (result.json) in {tmp_path}: name the folder of one;")
    modules = {line.split("|")[-1].strip() for line in imported}
    assert "dau_lightning.report.rows" in modules
    assert not modules & {"torch", "matplotlib", "wandb", "lightning"}


def test_runs_without_a_result_are_named(runs, tmp_path, capsys):
    for name, reason in (("killed", ""), ("diverged", "FT: the loss is nan at step 3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("seed: 7")
        if reason:
            (tmp_path / name / "failed.txt").write_text(f"{reason}\n")
    main([str(tmp_path), "--html", str(tmp_path / "sweep.html")])
    said = capsys.readouterr().err
    page = (tmp_path / "sweep.html").read_text()
    for text in ("has no result and is left out (it was stopped, or is still running)", "(FT: the loss is nan at step 3)"):
        assert text in said
        assert text in page


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The library without credentials, stopped afterwards."""
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home / name))
    wandb.teardown()
    yield wandb
    wandb.teardown()


def test_a_report_goes_on_where_wandb_cannot_start(write, tmp_path, wandb, monkeypatch, capsys):
    write()
    monkeypatch.setattr(wandb, "init", lambda **_: 1 / 0)
    with pytest.warns(UserWarning, match=r"cannot be started \(ZeroDivisionError"):
        main([str(tmp_path / "runs"), "--wandb"])
    assert "Retrain" in capsys.readouterr().out


@pytest.mark.slow
def test_without_credentials_table_and_figure_are_kept_offline(write, tmp_path, wandb, capsys):
    write()
    main([str(tmp_path / "runs"), "--wandb"])
    assert wandb.run is None
    assert "Retrain" in capsys.readouterr().out
    (run,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    (table,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/report*.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["method"] for row in rows] == ["Retrain", "Original", "DAU"]
    assert rows[-1]["UA_mean"] == 3.0
    pictures = list(run.glob("files/media/images/*.png"))
    assert len(pictures) == 2
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width > 500
    wandb.teardown()  # files are whole once its process is gone
    (log,) = run.glob("run-*.wandb")
    assert b"table-file" in log.read_bytes()
    assert b"image-file" in log.read_bytes()

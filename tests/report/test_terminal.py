import io
import json

import pytest
from rich.console import Console

from dau_lightning.report import terminal
from dau_lightning.report.section import sections

NO_RETRAIN = "no Retrain (reference=off): how far the model is"


def printed(rows, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    terminal.print_sections(sections(rows), console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("ablation", [False, True])
def test_tables_fit_the_terminal(paper, write, rows, width, ablation):
    for seed in range(3 * ablation):
        write(seed, "dau_paper", dataset="cifar10", network="resnet18", method={"regulariser_weight": 0.0})
    lines = printed(rows(), width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    starts = [line for line in lines if line.startswith("Retrain ") and not line.startswith("Retrain 2")]
    assert len(starts) == sum("───" in line for line in lines)  # no name is broken, and every table has all rows
    assert sum(line.startswith("  regulariser_weight=0.0 ") for line in lines) == ablation * len(starts)


def test_deviations_stand_below_the_means_where_it_is_narrow(write, rows):
    for seed in range(3):
        write(seed)
    wide, narrow = printed(rows(), 120), printed(rows(), 45)
    assert any("6.17±3.01" in line for line in wide)
    assert not any("6.17±3.01" in line for line in narrow)
    assert any("±3.01" in line for line in narrow)
    assert max(len(line) for line in narrow if "±" in line) <= 45


def test_the_tables_of_a_run_fit_80_columns_and_say_where_everything_is(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    flags = {"dau": {"flags": ["nothing forgotten"]}, "retrain": {"store": "store/retrain.safetensors"}}
    folder = write(scheme="classwise", sparsity="omp95", rows=flags, warnings=[NO_RETRAIN], forgotten_classes=["cat"])
    terminal.print_run(json.loads((folder / "result.json").read_text()), folder)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    assert "…" not in "".join(lines)
    assert {"warning: DAU: nothing forgotten", f"warning: {NO_RETRAIN}", "forgotten class: cat"} <= set(lines)
    assert "Retrain: store/retrain.safetensors" in lines
    assert "to compare with fine-tuning: the same command with baseline=finetune" in lines
    assert lines[-2:] == ["measured on cpu (x, 1 threads); everything is in", str(folder)]


def test_warnings_are_the_last_lines(write, rows):
    write(rows={"dau": {"flags": ["nothing forgotten"]}})
    assert printed(rows(), 200)[-1] == "DAU, seed 0: nothing forgotten."

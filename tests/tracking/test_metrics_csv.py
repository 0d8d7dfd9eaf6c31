import csv
from pathlib import Path
from typing import Any

import pytest

from dau_lightning.base.error import InputError
from dau_lightning.tracking.metrics_csv import MetricsCSV

LOGGED = [("original", 0, 2.5), ("original", 50, 1.0 / 3), ("unlearning", 0, 2.0), ("unlearning", 50, float("nan"))]


def log(path: Path, *logged: tuple[str, int, float]) -> None:
    logger = MetricsCSV(path)
    for phase, step, value in logged:
        logger.log_metrics({f"{phase}/loss": value, f"{phase}/rate": step / 7}, step)
        logger.save()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def test_a_row_is_in_the_file_as_soon_as_it_is_logged(path: Path) -> None:
    for count in range(1, 5):
        log(path, *LOGGED[:count])
        assert len(rows(path)) == count
    for row, (phase, step, value) in zip(rows(path), LOGGED, strict=True):
        expected = {"step": str(step), f"{phase}/loss": str(value), f"{phase}/rate": str(step / 7)}
        assert row == expected


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("again", range(5))
def test_a_row_that_is_logged_again_is_kept_once(path: Path, first: int, again: int) -> None:
    log(path, *LOGGED)
    expected = path.read_bytes()
    path.unlink()
    log(path, *LOGGED[:first])
    log(path, *LOGGED[min(first, again) :])
    assert path.read_bytes() == expected


def test_an_incomplete_last_line_is_written_again(path: Path) -> None:
    log(path, *LOGGED)
    expected = path.read_bytes()
    for length in range(0, len(expected), 5):
        path.write_bytes(expected[:length])
        log(path, *LOGGED)
        assert path.read_bytes() == expected
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    log(path, *LOGGED[:1])
    before = path.read_bytes()
    monkeypatch.setattr("dau_lightning.storage.atomic.os.fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*metrics\.csv \(No space left on device\)"):
        MetricsCSV(path).log_metrics({"another": 1.0}, 0)
    assert path.read_bytes() == before


def test_the_rows_of_a_phase_are_those_of_all_its_runs(path: Path) -> None:
    log(path, *LOGGED[:3])
    logger = MetricsCSV(path)
    logger.log_metrics({"unlearning/loss": 0.25, "unlearning/rate": 1.0}, 50)
    expected = [{"step": 0, "loss": 2.0, "rate": 0.0}, {"step": 50, "loss": 0.25, "rate": 1.0}]
    assert logger.logged("unlearning") == expected
    assert MetricsCSV(path).logged("unlearning") == expected


@pytest.mark.parametrize("line", ["x,1.0,0.0\n", ",1.0,0.0\n"])
def test_a_row_without_a_step_sets_the_file_aside(path: Path, line: str) -> None:
    log(path, *LOGGED)
    expected = path.read_bytes()
    path.write_bytes(expected + line.encode())
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match=r"metrics\.csv cannot be used"):
        log(path, *LOGGED)
    assert path.read_bytes() == expected
    assert path.with_name("metrics.csv.bad").read_bytes() == damaged


def test_a_training_that_begins_again_counts_in_place_of_the_first(path: Path) -> None:
    log(path, *LOGGED)
    again = [("unlearning", 0, 3.0), ("unlearning", 50, 0.5)]
    log(path, *again)
    assert [row["loss"] for row in MetricsCSV(path).logged("unlearning")] == [3.0, 0.5]
    assert [row["loss"] for row in MetricsCSV(path).logged("original")] == [2.5, 1.0 / 3]
    assert len(rows(path)) == len(LOGGED) + len(again)

"""Rows in a CSV file give the tables of the runs."""

import re
from pathlib import Path

import pytest

from dau_lightning.base.error import InputError
from dau_lightning.report.__main__ import main
from dau_lightning.report.rows_file import read_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def file(write, tmp_path):
    for seed in range(2):
        for scheme in ("random", "classwise"):
            write(seed, scheme=scheme, rows={"dau": {"flags": [f"AUC 4{seed}.5 is below 50"]}})
    path = tmp_path / "rows.csv"
    main([str(tmp_path / "runs"), "--format", "rows", "--output", str(path)])
    return path


@pytest.mark.parametrize("options", [["--format", "markdown"], ["--format", "csv"], ["--format", "rows"], ["--seeds", "1"]])
def test_the_file_gives_the_same_output_as_the_runs(file, tmp_path, capsys, options):
    main([str(tmp_path / "runs"), *options])
    expected = capsys.readouterr().out
    main([str(file), *options])
    assert capsys.readouterr().out == expected


def test_the_file_gives_a_page_too(file, tmp_path):
    main([str(file), "--html", str(page := tmp_path / "page.html")])
    text = page.read_text()
    assert "AUC 40.5-41.5 is below 50" in text
    assert "<dt>rows</dt>\n<dd>12</dd>" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rows.csv", "runs"], "a file of rows is a report by itself: give it alone"),
        (["rows.csv", "--redraw"], "--redraw and --wandb need the folders of runs"),
        (["rows.csv", "--seeds", "7"], "--seeds must name seeds of finished runs, got 7"),
        (
            ["nowhere.csv"],
            "nowhere.csv holds no rows of a report .*`python -m dau_lightning.report FOLDER --format rows`",
        ),
    ],
)
def test_mistakes_are_one_line(file, monkeypatch, arguments, words):
    monkeypatch.chdir(file.parent)
    with pytest.raises(InputError, match=words):
        main(arguments)


def test_another_csv_file_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv holds no rows of a report"):
        read_rows(tmp_path / "other.csv")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_the_published_tables_are_those_of_the_published_rows(path, capsys):
    main([str(path), "--format", "markdown"])
    assert path.with_suffix(".md").read_text() == capsys.readouterr().out


ATTACKS = {
    "U-LiRA": "ulira",
    "RMIA": "rmia",
    "SAMIA": "fresh_attacker",
    "statistics": "fresh_statistics",
    "differential": "differential",
}


@pytest.mark.parametrize(
    ("heading", "file", "scheme", "test"),
    [
        ("Every attack on all forgotten images.*?Random:", "fashion-dense", "random", "vulnerable"),
        ("Every attack on all forgotten images.*?Class-wise:", "fashion-dense", "classwise", "vulnerable"),
        ("Canaries: ", "fashion-canaries", "random", "canaries"),
    ],
)
def test_the_published_attacks_on_single_images_are_those_of_the_published_rows(heading, file, scheme, test):
    text = (RESULTS.parents[1] / "RESULTS.md").read_text()
    table = re.search(rf"{heading}.*?\n\n((?:\|[^\n]*\n)+)", text, re.DOTALL)
    assert table
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines())
    rows = read_rows(RESULTS / f"{file}.csv")
    rows = rows.loc[(rows.scheme == scheme) & (rows.seed == 0)].set_index("method")
    assert len(lines) >= 4
    for name, *cells in lines:
        for column, cell in zip(head[1:], cells, strict=True):
            attack, end = ATTACKS[column.removeprefix("TPR ")], "_tpr_at_1" * column.startswith("TPR ")
            numbers = [rows.loc[name, f"detail_{test}.{attack}{part}{end}"] for part in ("_all", "")]
            assert cell == ", ".join(f"{number:.1f}" for number in numbers)

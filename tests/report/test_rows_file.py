"""Rows in a CSV file give the tables of the runs."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dau_lightning.base.error import InputError
from dau_lightning.report.__main__ import main
from dau_lightning.report.rows_file import read_rows, written

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
    assert "<dt>machine</dt>\n<dd>x, 1 threads</dd>\n<dt>torch</dt>\n<dd>2.11</dd>" in text
    assert "<dd>random: <code>lr=0.1, regulariser_weight=0.001</code></dd>" in text


def test_a_file_of_an_earlier_version_has_no_settings(file, tmp_path):
    old = tmp_path / "old.csv"
    pd.read_csv(file, dtype=str).drop(columns="settings").to_csv(old, index=False)
    main([str(old), "--html", str(page := tmp_path / "page.html")])
    assert "Settings of the methods" not in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rows.csv", "runs"], "runs.1 and rows.csv, line 6 .* two runs of DAU with seed 0: give one of them"),
        (["rows.csv", "runs", "--redraw"], "--redraw and --wandb need the folders of runs, and no files"),
        (["empty"], "no finished run"),
        (["rows.csv", "--seeds", "7"], "--seeds must name seeds of finished runs, got 7"),
        (
            ["nowhere.csv"],
            "nowhere.csv holds no rows of a report .*`python -m dau_lightning.report FOLDER --format rows`",
        ),
    ],
)
def test_mistakes_are_one_line(file, monkeypatch, arguments, words):
    monkeypatch.chdir(file.parent)
    Path("empty").mkdir()
    with pytest.raises(InputError, match=words):
        main(arguments)


@pytest.mark.parametrize("style", ["markdown", "rows"])
def test_files_of_seeds_and_schemes_give_the_output_of_all_runs(write, tmp_path, capsys, style):
    folder, units = tmp_path / "kept", [f"{scheme}-seed{seed}" for scheme in ("random", "classwise") for seed in range(2)]
    for unit in units:
        scheme, _, seed = unit.partition("-seed")
        write(int(seed), scheme=scheme, folder=f"runs/{unit}")
        main([str(tmp_path / "runs" / unit), "--format", "rows", "--output", str(folder / f"{unit}.csv")])
    main([str(tmp_path / "runs"), "--format", style])
    expected = capsys.readouterr().out
    mixed = [str(folder / f"{unit}.csv") for unit in units[:3]] + [str(tmp_path / "runs" / units[3])]
    for given in ([str(folder)], [*map(str, folder.iterdir()), str(folder)], mixed):
        main([*given, "--format", style])
        assert capsys.readouterr().out == expected, given


def test_rows_carry_what_tells_whether_they_share_a_table(write, tmp_path):
    draws = {"MIA_draws": {"range": [7.5, 9.0], "draws": 9, "voided": 0}, "AUC": 50.0, "AUC_error": 1.25}
    write(0, rows={"dau": draws}, hardware={"device": "cpu", "name": "x", "threads": 2, "capability": "AVX2"})
    main([str(tmp_path / "runs"), "--format", "rows", "--output", str(tmp_path / "rows.csv")])
    row = read_rows(tmp_path / "rows.csv").set_index("kind").loc["dau"]
    assert (row.split_hash, row.machine, row.torch) == ("random0", "x, AVX2, 2 threads", "2.11")
    assert (row.MIA_lowest, row.MIA_highest, row.AUC_error) == (7.5, 9.0, 1.25)
    assert re.fullmatch("[0-9a-f]{8}", row.shared_settings)
    assert re.fullmatch("[0-9a-f]{8}", row.method_settings)


@pytest.fixture
def beside(write, tmp_path):
    """Makes a report of a run of seed 0 as a file, which may be older than some columns, and of another run."""

    def call(changes, without=()):
        write(0)
        main([str(tmp_path / "runs"), "--format", "rows", "--output", str(tmp_path / "rows.csv")])
        older = read_rows(tmp_path / "rows.csv").drop(columns=[*without]).assign(rank=0)
        (tmp_path / "rows.csv").write_text(written(older))
        write(**{"seed": 0, **changes}, folder="new")
        main([str(tmp_path / "new"), str(tmp_path / "rows.csv")])

    return call


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_hash": "other"}, "one seed and different splits: make a report of each split"),
        ({"seed": 1, "epochs": 3}, "have shared_settings=.* make a report of each"),
        ({"seed": 1, "method": {"lr": 0.5}}, "have method_settings=.* make a report of each"),
        ({"name": "finetune", "rows": {"retrain": {"UA": 1.0}}}, "two numbers of Retrain with seed 0"),
    ],
)
def test_rows_of_a_file_and_runs_that_contradict_each_other_are_refused(beside, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        beside(changes)
    assert "rows.csv, line " in str(caught.value)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"name": "finetune"}, {"seed": 1, "method": {"newer": None}}])
def test_rows_of_a_file_and_runs_that_agree_share_a_table(beside, changes, capsys):
    beside(changes)
    assert "DAU" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"seed": 1, "epochs": 3}, {"seed": 1, "method": {"lr": 0.5}}])
def test_a_file_that_is_older_than_a_column_agrees_with_everything(beside, changes, capsys):
    beside(changes, without=["split_hash", "shared_settings", "method_settings", "machine", "torch"])
    assert "seeds 0, 1" in capsys.readouterr().out


def test_a_row_that_stands_twice_in_a_file_is_refused(file):
    text = file.read_text()
    file.write_text(text + text.splitlines()[-1] + "\n")
    with pytest.raises(InputError, match=r"rows.csv, line 13 and .*rows.csv, line 14 .* two runs of DAU with seed 1"):
        main([str(file)])


def test_another_csv_file_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv holds no rows of a report"):
        read_rows(tmp_path / "other.csv")


@pytest.mark.parametrize("path", sorted(path.with_suffix("") for path in RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_the_published_tables_are_those_of_the_published_rows(path, capsys):
    main([str(path if path.is_dir() else path.with_suffix(".csv")), "--format", "markdown"])
    assert path.with_suffix(".md").read_text() == capsys.readouterr().out


def test_every_published_file_of_rows_has_its_table():
    kept = {path if path.parent == RESULTS else path.parent for path in RESULTS.rglob("*.csv")}
    assert {path.stem for path in kept} == {path.stem for path in RESULTS.glob("*.md")}


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


@pytest.mark.parametrize(
    ("heading", "name", "seeds"),
    [
        ("### The benchmark's methods", "fashion-leaderboard", (5, 5)),
        ("### The game with", "cifar10-jpeg-10000", (2, 2)),
    ],
)
def test_a_published_short_table_is_that_of_the_published_rows(heading, name, seeds):
    text = (RESULTS.parents[1] / "RESULTS.md").read_text().partition(heading)[2]
    table = re.search(r"\n\n((?:\|[^\n]*\n)+)", text)
    assert table
    _, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines())
    rows = read_rows(RESULTS / f"{name}.csv")
    assert {method for method, *_ in lines} == {*rows.method} - {"Retrain"}
    for method, *cells in lines:
        expected = []
        for scheme, count in zip(("random", "classwise"), seeds, strict=True):
            same = rows.loc[(rows.method == method) & (rows.scheme == scheme)]
            assert len(same) == count
            for column, digits in (("disparity", 2), ("AUC_gap", 1), ("RA", 1)):
                deviation = f"±{same[column].std():.{digits}f}" if count > 1 else ""
                expected.append(f"{same[column].mean():.{digits}f}{deviation}")
            expected.append(f"{same.time_ratio.mean():.2f}")
        assert cells == expected


def test_the_published_attackers_are_those_of_the_published_rows():
    text = (RESULTS.parent / "game.md").read_text().partition("## What an attacker earns")[2].partition("\n\nNone")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    rows = read_rows(RESULTS / "fashion-attackers.csv").groupby("method")
    told = {first.split("`")[1]: cells[-3:] for first, *cells in lines if first != "`baseline/attacker=`"}
    assert told.keys() == rows.groups.keys() - {"Retrain", "Original"}
    for name, cells in told.items():
        same = rows.get_group(name)
        pairs = [
            f"{same[column].mean():.{digits}f}±{same[column].std():.{digits}f}"
            for column, digits in (("disparity", 2), ("AUC_gap", 1))
        ]
        assert cells == [*pairs, f"{same.RA.mean():.1f}"]

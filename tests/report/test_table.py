import csv
import io
import json
import re

import pytest
from rich.console import Console

from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report import terminal
from dau_lightning.report.group import groups
from dau_lightning.report.latex import latex
from dau_lightning.report.read import read
from dau_lightning.report.record import csv_text, records
from dau_lightning.report.rows import GAPS
from dau_lightning.report.run import print_run
from dau_lightning.report.table import families, markdown
from dau_lightning.report.terminal import print_groups


def cells(text: str) -> list[dict[str, str]]:
    """The rows of all Markdown tables."""
    rows = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, rule, *body = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
        assert set(rule[1:]) == {"--:"}
        rows += [dict(zip(header, line, strict=True)) for line in body]
    return rows


def test_markdown_of_one_sparsity(write, tmp_path):
    for seed in range(3):
        write(seed)
    text = markdown(groups(read([tmp_path])))
    assert text.startswith("**digits, convnet, random, dense; seeds 0, 1, 2**\n")
    assert "paper" not in text
    (dau,) = [row for row in cells(text) if row[""] == "DAU"]
    assert dau["UA"] == "6.17±3.01"
    assert dau["time_ratio"] == "0.156±0.051"
    assert list(dau)[1:] == [*COLUMNS, "disparity", "of means", "seconds", "time_ratio", "speed-up", *GAPS]


def test_markdown_has_dense_beside_sparse_and_the_paper(paper, tmp_path):
    rows = cells(markdown(groups(read([tmp_path]))))
    dau = {column: text for row in rows if row[""] == "DAU" for column, text in row.items()}
    assert dau["UA dense"] == "6.17±3.01"
    assert dau["UA 95% sparse"] == "6.67±3.01"
    assert dau["zeros 95% sparse"] == "95.00±0.00"
    assert "zeros dense" not in dau
    assert dau["paper disparity dense"] == "2.32"
    assert dau["paper speed-up dense"] == "10.29"
    assert list(dau)[1:3] == ["UA dense", "UA 95% sparse"]


def test_older_results_have_no_measured_zeros(write, tmp_path):
    rows = {kind: {"sparsity": None} for kind in ("retrain", "original", "dau")}
    write(sparsity="omp95", rows=rows)
    found = {row[""]: row["zeros"] for row in cells(markdown(groups(read([tmp_path])))) if "zeros" in row}
    assert set(found.values()) == {"-"}


def test_selection(write, tmp_path):
    score = {"judge_error": 1.0, "judge_MIA": 2.0, "score": 3.0}
    for seed in range(2):
        write(seed, selection=True, rows={"dau": score, "original": score})
    row = cells(markdown(groups(read([tmp_path]))))[-1]
    assert row["score"] == "3.00±0.00"
    assert row[""] == "DAU (n=2)"
    assert "disparity" not in row


def test_latex_has_headings_over_pairs_and_as_many_cells_in_every_row(paper, tmp_path):
    text = latex(groups(read([tmp_path])))
    assert r"\multicolumn{2}{c}{UA}" in text
    assert r"$6.17_{\pm 3.01}$" in text
    assert r"95\% sparse" in text
    assert not re.search(r"(?<!\\)[%_#](?![{]|\n|.*usepackage)", text)  # every special character is escaped
    tabulars = re.findall(r"\\begin{tabular}{(l(r+))}(.*?)\\end{tabular}", text, re.DOTALL)
    assert len(tabulars) > 1
    for _, columns, body in tabulars:
        for line in body.split(r"\\"):
            spans = [int(count) for count in re.findall(r"\\multicolumn{(\d+)}", line)]
            if "&" in line:
                assert len(re.findall(r"(?<!\\)&", line)) + sum(spans) - len(spans) == len(columns)


def test_csv_is_tidy_and_unrounded(paper, made, tmp_path):
    read_back = list(csv.DictReader(io.StringIO(csv_text(groups(read([tmp_path]))))))
    assert [(row["sparsity"], row["method"]) for row in read_back] == [
        (sparsity, name) for sparsity in ("dense", "95% sparse") for name in ("Retrain", "Retrain 2", "Original", "FT", "DAU")
    ]
    (row,) = [row for row in read_back if row["method"] == "DAU" and row["sparsity"] == "dense"]
    assert float(row["UA_mean"]) == pytest.approx(made.method[:, 0].mean(), rel=1e-12)
    assert float(row["UA_std"]) == pytest.approx(made.method[:, 0].std(ddof=1), rel=1e-12)
    assert float(row["gap_UA_mean"]) == pytest.approx(abs(made.method - made.retrain)[:, 0].mean())
    assert float(row["paper_disparity"]) == pytest.approx(2.325)
    assert (row["kind"], row["seeds"], row["n"]) == ("dau", "0 1 2", "3")
    assert all(name.isascii() and name.isidentifier() for name in row)


def test_records_of_other_groups_share_one_header(write, tmp_path):
    write()
    write(scheme="classwise", rows={"dau": {"TA_forgotten": 3.0}})
    header, rows = records(groups(read([tmp_path])))
    assert {len(row) for row in rows} == {len(header)}
    column = header.index("TA_forgotten_mean")
    assert [row[column] for row in rows if row[header.index("method")] == "DAU"] == [3.0, None]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("ablation", [False, True])
def test_terminal_tables_fit(paper, write, tmp_path, width, ablation):
    for seed in range(3 * ablation):
        write(seed, dataset="cifar10", network="resnet18", regulariser_weight=0.0)
    console = Console(file=io.StringIO(), width=width)
    print_groups(groups(read([tmp_path])), console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    starts = [line for line in lines if line.startswith("Retrain ") and not line.startswith("Retrain 2")]
    assert len(starts) == sum("───" in line for line in lines)  # no name is broken, and every table has all rows
    assert sum(line.startswith("  regulariser_weight=0.0 ") for line in lines) == ablation * len(starts)


def test_deviations_stand_below_means_where_it_is_narrow(write, tmp_path):
    for seed in range(3):
        write(seed)
    wide, narrow = (Console(file=io.StringIO(), width=width) for width in (120, 45))
    for console in (wide, narrow):
        print_groups(groups(read([tmp_path])), console)
    assert "6.17±3.01" in wide.file.getvalue()
    assert "6.17±3.01" not in narrow.file.getvalue()
    assert "±3.01" in narrow.file.getvalue()
    assert max(map(len, [line for line in narrow.file.getvalue().splitlines() if "±" in line])) <= 45


def test_every_table_starts_with_a_heading(write, tmp_path):
    for seed in range(2):
        for sparsity in ("dense", "omp95"):
            write(seed, scheme="classwise", sparsity=sparsity, rows={"dau": {"TA_forgotten": 12.34}})
    (group,) = groups(read([tmp_path]))
    for width in range(50, 121):
        for _, (first, _), *_ in terminal._tables(families(group), width):  # the names, then the first column
            assert first.split("\n")[0] not in ("", "dense", "95%"), width


def test_flags_stand_under_the_tables_with_their_seeds(write, tmp_path):
    for seed, found in enumerate((["not finite: MIA"], [], ["not finite: MIA", "nothing forgotten"])):
        write(seed, rows={"dau": {"flags": found}})
    made = groups(read([tmp_path]))
    said = ["DAU, seed 0, 2: not finite: MIA.", "DAU, seed 2: nothing forgotten."]
    assert [line.strip() for line in markdown(made).splitlines()[-2:]] == said
    console = Console(file=io.StringIO(), width=200)
    print_groups(made, console)
    assert [line.strip() for line in console.file.getvalue().splitlines()[-2:]] == said
    flagged = {row["method"]: row["flags"] for row in csv.DictReader(io.StringIO(csv_text(made)))}
    assert flagged == {"Retrain": "", "Original": "", "DAU": "not finite: MIA; nothing forgotten"}


SCORED = {
    kind: {"score": 1.5, "judge_error": 2.0, "judge_MIA": 3.0, "gaps": {}, "disparity": None} for kind in ("original", "dau")
}
NO_RETRAIN = "no Retrain (reference=off): how far the model is"


@pytest.fixture
def scored(write):
    """Runs without Retrain, two seeds."""
    for seed in range(2):
        folder = write(seed, rows=SCORED, warnings=[NO_RETRAIN])
        result = json.loads((folder / "result.json").read_text())
        del result["rows"]["retrain"]
        (folder / "result.json").write_text(json.dumps(result))


def test_without_a_retrain_every_form_has_the_score_and_says_so(scored, tmp_path):
    made = groups(read([tmp_path]))
    text = markdown(made)
    (dau,) = [row for row in cells(text) if row[""] == "DAU"]
    assert dau["score"] == "1.50±0.00"
    assert "disparity" not in dau
    assert f"seed 0, 1: {NO_RETRAIN}." in text
    assert "score: the selection score" in text
    console = Console(file=io.StringIO(), width=120)
    print_groups(made, console)
    assert "score" in console.file.getvalue()
    assert "no Retrain" in console.file.getvalue()
    assert "no Retrain" in latex(made)


def test_warnings_and_flags_of_a_run_stand_under_its_table(write, tmp_path, capsys):
    write(rows={"dau": {"flags": ["nothing forgotten"]}}, warnings=[NO_RETRAIN])
    (run,) = read([tmp_path])
    print_run(run.result, tmp_path)
    assert {"warning: DAU: nothing forgotten", f"warning: {NO_RETRAIN}"} <= set(capsys.readouterr().out.splitlines())

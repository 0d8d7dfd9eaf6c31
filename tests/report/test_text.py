import re

from dau_lightning.metric.disparity import COMPARED
from dau_lightning.report.section import sections
from dau_lightning.report.text import latex, markdown


def cells(text: str) -> list[dict[str, str]]:
    """The rows of all Markdown tables."""
    rows = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, rule, *body = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
        assert set(rule[1:]) == {"--:"}
        rows += [dict(zip(header, line, strict=True)) for line in body]
    return rows


def test_markdown_of_one_sparsity(write, rows):
    for seed in range(3):
        write(seed)
    text = markdown(sections(rows()))
    assert text.startswith("**digits, convnet, random, dense; seeds 0, 1, 2**\n")
    assert "paper" not in text
    (dau,) = [row for row in cells(text) if row[""] == "DAU"]
    assert dau["UA"] == "6.17±3.01"
    assert dau["time_ratio"] == "0.156±0.051"
    assert list(dau)[1:] == [
        *COMPARED,
        "disparity",
        "of means",
        "seconds",
        "time_ratio",
        "speed-up",
        *(f"Δ{column}" for column in COMPARED),
    ]


def test_markdown_has_dense_beside_sparse_and_the_paper(paper, rows):
    dau = {column: text for row in cells(markdown(sections(rows()))) if row[""] == "DAU" for column, text in row.items()}
    assert list(dau)[1:3] == ["UA dense", "UA 95% sparse"]
    assert (dau["UA dense"], dau["UA 95% sparse"], dau["zeros 95% sparse"]) == ("6.17±3.01", "6.67±3.01", "95.00±0.00")
    assert (dau["paper disparity dense"], dau["paper speed-up dense"]) == ("2.32", "10.29")
    assert "zeros dense" not in dau


def test_latex_has_headings_over_pairs_and_as_many_cells_in_every_row(paper, rows):
    text = latex(sections(rows()))
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


def test_notes_and_warnings_stand_below_the_tables(write, rows):
    write(rows={"dau": {"flags": ["nothing forgotten"]}}, warnings=["no Retrain"])
    expected = ["seed 0: no Retrain.", "DAU, seed 0: nothing forgotten."]
    assert [line.strip() for line in markdown(sections(rows())).splitlines()[-2:]] == expected
    assert all(line in latex(sections(rows())) for line in expected)

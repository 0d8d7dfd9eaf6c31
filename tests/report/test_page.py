"""Pages of made-up runs; how they look and behave in a browser is `tests/page`."""

import json
import re
from html.parser import HTMLParser

import pytest

from dau_lightning.report import page as pages
from dau_lightning.report.__main__ import main
from dau_lightning.report.figure import CAPTIONS
from dau_lightning.report.figure.attacks import CAPTION
from tests.report.figure.conftest import make


class Reader(HTMLParser):
    """The cells of the tables, the texts, and whatever a page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.texts, self.sources = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append(given.get("data-value"))
        if tag == "a":
            self.links.append(given["href"])
        self.sources += [given[name] for name in ("src", "srcset") if name in given]
        self.sources += [given["href"]] if tag == "link" else []

    def handle_data(self, data):
        self.texts.append(data.strip())


def page_of(folder):
    return Reader((folder / "report.html").read_text())


def draw(folder):
    return pages.write_run_page(json.loads((folder / "result.json").read_text()), folder)


def test_the_page_of_a_run(write):
    folder = write()
    assert draw(folder) == {}  # no outputs, no pictures
    page = page_of(folder)
    rows = json.loads((folder / "result.json").read_text())["rows"]
    for row, cells in zip(rows.values(), page.rows[1 : 1 + len(rows)], strict=True):
        assert [float(cell) for cell in cells[:4]] == [row[column] for column in ("UA", "MIA", "RA", "TA")]
        assert float(cells[4]) == pytest.approx(row["disparity"], abs=0.005)
    assert "DAU on digits, convnet, random, dense, seed 0" in page.texts
    assert "python train.py seed=0" in page.texts
    assert "10 of 100 training images" in page.texts
    assert "baseline.regulariser_weight" in page.texts
    assert "regulariser_weight" not in page.texts
    assert not any("Warnings" in text for text in page.texts)


def test_nothing_is_fetched(write):
    folder = write()
    draw(folder)
    assert all(source.startswith("data:") for source in page_of(folder).sources)
    text = (folder / "report.html").read_text()
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"data:[^\"]*", "", text))
    assert "url(" not in text
    assert "@import" not in text


def test_warnings_are_shown_and_everything_is_escaped(write):
    flag = "UA <script>alert(1)</script> is far from Retrain's"
    folder = write(rows={"dau": {"flags": [flag]}}, warnings=["no Retrain"], command="python train.py dataset.root='<b>'")
    draw(folder)
    text = (folder / "report.html").read_text()
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert {f"DAU, seed 0: {flag}.", "seed 0: no Retrain."} <= set(page_of(folder).texts)


@pytest.mark.parametrize("selection", [False, True])
def test_without_a_retrain_the_page_has_the_score(write, selection):
    score = {"score": 1.5, "judge_error": 2.0, "judge_MIA": 3.0}
    folder = write(selection=selection, reference=selection, rows={"original": score, "dau": score})
    draw(folder)
    assert {"score", "1.50"} <= set(page_of(folder).texts)


def test_headings_are_explained_to_whoever_uses_the_keyboard(write):
    folder = write()
    draw(folder)
    text = (folder / "report.html").read_text()
    described = re.findall(r'aria-describedby="([^" ]+)"', text)
    assert len(described) == len(set(described)) > 10
    assert sorted(described) == sorted(re.findall(r'role="tooltip" id="([^"]+)"', text))
    assert "title=" not in text


def test_the_page_of_a_sweep(write, tmp_path):
    folders = [write(seed, rows={"dau": {"flags": ["look"]}}) for seed in range(2)]
    write(0, scheme="classwise")
    write(1, scheme="classwise")
    draw(folders[0])
    main([str(tmp_path / "runs"), "--html", str(tmp_path / "pages" / "sweep.html"), "--format", "csv"])
    page = Reader((tmp_path / "pages" / "sweep.html").read_text())
    assert "DAU, 2 of 2 seeds (0, 1): look." in page.texts
    assert "digits, convnet, random, dense; seeds 0, 1" in page.texts
    assert float(page.rows[3][0]) == 6.0  # mean UA of 3 and 9
    assert "6.00±4.24" in page.texts
    assert sum("n - 1 in the denominator" in text for text in page.texts) == 4  # below the tables and both pictures
    paper, own = page.links
    assert paper == "https://arxiv.org/abs/2402.06864"  # DAU's, once for all seeds and schemes
    assert own == f"../runs/{folders[0].name}/report.html"  # only where there is one
    assert (tmp_path / "pages" / own).is_file()
    assert any(text.startswith("python -m dau_lightning.report") for text in page.texts)
    assert (
        sum(source.startswith("data:image/svg") for source in page.sources) == 2
    )  # Figure 2 and the costs, one for both schemes


@pytest.mark.slow
def test_pictures_are_drawn_again_from_the_outputs_alone(write, tmp_path):
    folder, outputs = write(0), make()
    write(1)  # a run without outputs keeps its page without pictures
    outputs.write(folder)
    main([str(tmp_path / "runs"), "--redraw", "--format", "csv"])
    names = {path.name for path in (folder / "figures").iterdir()}
    expected = {"attacks", "dynamics", "confidence", "roc", "features", "sheet"}
    assert names == {f"{name}.{suffix}" for name in expected for suffix in ("png", "svg")}
    texts = page_of(folder).texts
    assert {CAPTION, *CAPTIONS.values()} <= set(texts)
    assert sum(source.startswith("data:image/svg") for source in page_of(folder).sources) == len(expected)
    assert len(list(tmp_path.rglob("report.html"))) == 2

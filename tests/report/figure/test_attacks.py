import io
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dau_lightning.report.__main__ import main
from dau_lightning.report.figure import attacks
from dau_lightning.report.figure.attacks import ATTACKS, attack_pictures


@pytest.fixture
def drawn(monkeypatch):
    """The figures as matplotlib has them, for their numbers."""
    from matplotlib.figure import Figure

    kept = []
    real = Figure.savefig

    def savefig(self, *arguments, **options):
        kept.append(self)
        real(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


@pytest.mark.slow
def test_figure_2(paper, made, rows, drawn):
    ((_, _, files),) = attack_pictures(rows())
    assert set(files) == {"attacks-cifar10-resnet18.png", "attacks-cifar10-resnet18.svg"}
    image = Image.open(io.BytesIO(files["attacks-cifar10-resnet18.png"]))
    assert image.width > image.height > 500
    assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    assert ElementTree.fromstring(files["attacks-cifar10-resnet18.svg"]).tag.endswith("svg")

    dense, sparse = drawn[0].axes
    assert (dense.get_title(), sparse.get_title()) == ("random, dense", "random, 95% sparse")
    bars = {bars.get_label(): bars for bars in dense.containers if bars.get_label() in ("Retrain", "DAU")}
    for name, numbers in (("Retrain", made.retrain), ("DAU", made.method)):
        expected = numbers[:, 1].mean() + np.arange(len(ATTACKS))  # as the made-up attacks are
        assert [bar.get_height() for bar in bars[name]] == pytest.approx(list(expected))
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["Retrain", "Retrain 2", "Original", "DAU", "FT"]


def test_the_same_figure_is_the_same_file(write, rows):
    write()
    first, second = (attack_pictures(rows()) for _ in range(2))
    assert first == second


def test_selection_runs_and_rows_without_attacks_have_no_figure(write, rows):
    write(selection=True)
    write(rows={kind: {"attacks": {"confidence": 1.0}} for kind in ("retrain", "original", "dau")})
    assert attack_pictures(rows()) == []


def test_matplotlib_is_imported_only_for_a_figure(write, tmp_path, monkeypatch, capsys):
    write()
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # whoever imports it now gets an ImportError
    main([str(tmp_path)])
    assert "Retrain" in capsys.readouterr().out
    with pytest.raises(ImportError):
        main([str(tmp_path), "--figures", str(tmp_path / "plots")])


def test_any_number_of_methods_look_different():
    kinds = {"Retrain": "retrain", "DAU": "dau"} | {f"method {number}": f"m{number}" for number in range(40)}
    looks = {tuple(sorted(style.items())) for style in attacks._styles(kinds).values()}
    assert len(looks) == 42

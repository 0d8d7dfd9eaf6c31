import itertools

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dau_lightning.report.figure.cost import cost_pictures


def test_a_point_stands_at_a_methods_run_time_and_disparity(write, rows, monkeypatch):
    for seed in range(2):
        write(seed)
        write(seed, "retrain_again")
    found = rows()
    means = found.groupby("kind")[["time_ratio", "disparity"]].mean()
    kept, real = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: (kept.append(self), real(self, *args, **more))[1])
    (picture,) = cost_pictures(found)
    assert set(picture.files) == {"cost-digits-convnet.png", "cost-digits-convnet.svg"}
    (axis,) = kept[0].axes
    (bar,) = axis.containers  # Retrain and its repetition are no points
    assert bar.lines[0].get_xydata().tolist() == [pytest.approx(means.loc["dau"].tolist())]
    assert [text.get_text() for text in axis.texts] == ["DAU"]
    (band,) = (patch for patch in axis.patches if isinstance(patch, Rectangle))
    assert band.get_y() + band.get_height() == pytest.approx(means.loc["retrain_again", "disparity"])
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


def test_a_file_name_has_no_parentheses(write, rows):
    for name in ("dau", "finetune"):
        write(0, name, dataset="cifar10_jpeg", network="resnet9")
    (picture,) = cost_pictures(rows())
    assert set(picture.files) == {"cost-CIFAR-10-JPEG-resnet9.png", "cost-CIFAR-10-JPEG-resnet9.svg"}


def test_selection_runs_and_runs_without_a_retrain_have_no_point(write, rows):
    write(selection=True)
    write(reference=False)
    assert cost_pictures(rows()) == []


def test_names_do_not_cover_each_other(write, rows, monkeypatch):
    for place in range(9):
        write(0, f"m{place}", rows={f"m{place}": {"UA": 20.0 + place / 4}})
    found = rows()
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: kept.append(self))
    cost_pictures(found)
    (axis,) = kept[0].axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 9
    assert not [(one, other) for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]


def test_a_run_time_of_another_machine_has_no_point(write, rows, monkeypatch):
    write(0, rows={"dau": {"measured_on": "a GPU"}})
    assert cost_pictures(rows()) == []
    write(0, "finetune")
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: kept.append(self))
    cost_pictures(rows())
    assert [text.get_text() for text in kept[0].axes[0].texts] == ["FT"]

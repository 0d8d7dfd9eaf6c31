import pytest
from matplotlib.figure import Figure

from dau_lightning.report.figure import cost
from dau_lightning.report.figure.cost import Point, cost_pictures


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
    (band,) = axis.patches
    assert band.get_height() == pytest.approx(means.loc["retrain_again", "disparity"])


def test_selection_runs_and_runs_without_a_retrain_have_no_point(write, rows):
    write(selection=True)
    write(reference=False)
    assert cost_pictures(rows()) == []


def test_names_do_not_cover_each_other():
    points = [Point("a", "a", 0.1, 1.0), Point("b", "b", 0.12, 1.1), Point("c", "c", 0.9, 1.1), Point("d", "d", 0.11, 9.0)]
    assert cost._heights(points, 0.5) == [1.0, 1.5, 1.1, 9.0]

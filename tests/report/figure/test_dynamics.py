from dau_lightning.evaluation.outputs import Outputs
from dau_lightning.report.figure.dynamics import draw


def test_lines_and_what_they_are_to_meet(outputs):
    figure = draw(outputs)
    assert [axis.get_title() for axis in figure.axes] == ["UA", "MIA", "RA", "TA", "attacker's accuracy"]
    for axis in figure.axes:
        way, reference = axis.lines
        assert way.get_xydata().tolist() == [[0, 1], [5, 4], [10, 3]]
        expected = 50 if axis.get_title().startswith("attacker") else 3.5
        assert set(reference.get_ydata()) == {expected}
        low, high = axis.get_ylim()
        assert low < min(1, expected) < max(4, expected) < high
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["DAU", "Retrain", "chance"]


def test_without_attacker_and_retrain_there_is_less(outputs):
    left = {name: array for name, array in outputs.arrays.items() if "attacker" not in name and "reference" not in name}
    figure = draw(Outputs(left, outputs.labels, "dau", []))
    assert len(figure.axes) == 4
    assert [len(axis.lines) for axis in figure.axes] == [1] * 4


def test_without_retrain_chance_is_named(outputs):
    left = {name: array for name, array in outputs.arrays.items() if "reference" not in name}
    figure = draw(Outputs(left, outputs.labels, "dau", []))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["DAU", "chance"]


def test_nothing_measured_nothing_drawn(alone):
    assert draw(alone) is None

import numpy as np
import pytest

from dau_lightning.report.figure.roc import ATTACKS, draw, scored


def area_by_counting(outputs, model):
    """The share of pairs in which the forgotten image is surer of its label than the unseen one; ties are halves."""
    forgotten, unseen = (outputs.confidence(model, part) for part in ("forget", outputs.unseen))
    differences = forgotten[:, None] - unseen[None, :]
    return np.mean((differences > 0) + 0.5 * (differences == 0))


@pytest.mark.parametrize("name", ["outputs", "classwise"])
def test_areas_are_those_of_counted_pairs(request, name):
    outputs = request.getfixturevalue(name)
    figure = draw(outputs)
    for axis, model in zip(figure.axes, ("original", "dau", "retrain"), strict=True):
        first, *_ = (text.get_text() for text in axis.get_legend().get_texts())
        assert first == f"confidence: {area_by_counting(outputs, model):.2f}"


@pytest.mark.parametrize("attack", ATTACKS)
def test_members_score_high_where_the_model_knows_them(outputs, attack):
    members, scores = map(np.array, scored(outputs, "original", attack))
    assert scores[members == 1].mean() > scores[members == 0].mean()


def test_curves_run_from_corner_to_corner(outputs):
    for axis in draw(outputs).axes:
        for line in axis.lines:
            x, y = line.get_data()
            assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
            assert all(np.diff(x) >= 0)
            assert all(np.diff(y) >= 0)


def test_the_title_says_which_images_are_unseen(classwise):
    assert draw(classwise).get_suptitle() == "Attacks: 24 forgotten against 15 test images of the class"

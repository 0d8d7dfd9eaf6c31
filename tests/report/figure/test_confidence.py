import numpy as np
import pytest

from dau_lightning.report.figure.confidence import BINS, draw


def test_shares_are_those_of_a_histogram(outputs):
    figure = draw(outputs)
    assert [axis.get_title() for axis in figure.axes] == ["Original (before)", "DAU (after)", "Retrain (reference)"]
    for axis, model in zip(figure.axes, ("original", "dau", "retrain"), strict=True):
        lines = {patch.get_label().split(",")[0]: patch for patch in axis.patches if patch.get_label()}
        for name, part in (("retain", "retain"), ("test", "test_retain"), ("forget", "forget")):
            values = outputs.confidence(model, part)
            counts, _ = np.histogram(values, BINS)
            assert list(lines[name].get_data().values) == pytest.approx(list(counts / len(values)))
            assert sum(lines[name].get_data().values) == pytest.approx(1)


def test_a_forgotten_class_beside_its_own_test_images(classwise):
    labels = [text.get_text() for text in draw(classwise).legends[0].get_texts()]
    assert "test, 15 of the class" in labels


def test_without_retrain(alone):
    assert [axis.get_title() for axis in draw(alone).axes] == ["Original (before)", "DAU (after)"]

import numpy as np

from dau_lightning.report.figure.sheet import draw
from dau_lightning.report.figure.style import DAU


def test_every_image_has_its_label_and_the_predictions(outputs):
    (axis,) = draw(outputs).axes
    assert len(axis.images) == 10
    assert axis.images[3].get_array().tolist() == outputs.arrays["forget/thumbnails"][3].transpose(1, 2, 0).tolist()
    texts = [text.get_text() for text in axis.texts]
    names = ["cat", "a very lo…", "dog"]
    for index in range(10):
        label, *lines = texts[4 * index : 4 * index + 4]
        target = outputs.targets("forget")[index]
        assert label == names[target]
        for line, (model, name) in zip(lines, (("original", "Original"), ("dau", "DAU"), ("retrain", "Retrain")), strict=True):
            probabilities = outputs.probabilities(model, "forget")[index]
            found = int(np.argmax(probabilities))
            said = f"{name}: {names[found]} {100 * probabilities[found]:.0f}%" + ("" if found == target else " (!)")
            assert line == said
    for text in axis.texts:
        assert (text.get_color() == DAU) is ("(!)" in text.get_text())


def test_grey_images_and_no_reference(alone):
    (axis,) = draw(alone).axes
    assert axis.images[0].get_array().ndim == 2
    assert len(axis.texts) == 3 * 10

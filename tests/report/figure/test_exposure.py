"""Pictures of an audit."""

import numpy as np

from dau_lightning.report.figure.exposure import exposure_pictures


def test_there_is_a_picture_of_scores_and_a_sheet():
    draws = np.random.default_rng(0)
    scores = {
        f"rmia/{kind}/{part}": draws.random(40) for kind in ("method", "retrain", "original") for part in ("forget", "unseen")
    }
    scores["rmia/method/forget"][0] = np.nan  # every reference model saw it
    scores |= {"exposed/images": draws.integers(256, size=(3, 1, 4, 4)).astype(np.uint8)}
    scores |= {"exposed/scores": np.ones(3), "exposed/targets": np.array([0, 1, 0])}
    drawn = exposure_pictures(scores, ["a", "b"])
    assert [picture.name for picture in drawn] == ["exposure", "exposed"]
    assert all(set(picture.files) == {f"{picture.name}.png", f"{picture.name}.svg"} for picture in drawn)


def test_without_rmia_there_is_none():
    assert exposure_pictures({"ulira/method/forget": np.zeros(3)}, []) == []

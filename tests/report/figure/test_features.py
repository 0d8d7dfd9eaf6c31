import numpy as np
import pytest

from dau_lightning.report.figure.features import LOOKS, draw


def test_points_are_projections_on_the_main_directions(outputs):
    for axis, model in zip(draw(outputs).axes, ("original", "dau", "retrain"), strict=True):
        parts = [outputs.arrays[f"{model}/{part}/features"].astype(float) for part in LOOKS]
        everything = np.concatenate(parts)
        centred = everything - everything.mean(0)
        variances, directions = np.linalg.eigh(np.cov(centred.T))
        expected = centred @ directions[:, ::-1][:, :2]
        found = np.concatenate([np.ma.getdata(points.get_offsets()) for points in axis.collections])
        assert abs(found) == pytest.approx(abs(expected), abs=1e-3)  # a direction has no sign
        share = variances[-1] / variances.sum()
        assert axis.get_xlabel() == f"{100 * share:.0f}% of the variance"


def test_the_forget_set_is_on_top_and_counted(outputs):
    *_, last = draw(outputs).axes[0].collections
    assert last.get_label() == "forget, 20"

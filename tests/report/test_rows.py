import numpy as np
import pytest

from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report.group import groups
from dau_lightning.report.read import read
from dau_lightning.report.rows import GAPS, Spread, spreads


@pytest.fixture
def lines(write, made, tmp_path):
    for seed in range(3):
        write(seed)
    ((_, lines),) = groups(read([tmp_path]))[0].cells.items()
    return lines


def both(values: np.ndarray) -> tuple[float, float]:
    return pytest.approx(values.mean()), pytest.approx(values.std(ddof=1))


def test_rows_over_seeds_against_numpy(lines, made):
    found = lines["DAU"].spreads
    for column, values in zip(COLUMNS, made.method.T, strict=True):
        assert found[column] == both(values)
    for column, values in zip(GAPS, np.abs(made.method - made.retrain).T, strict=True):
        assert found[column] == both(values)
    assert found["seconds"] == both(made.seconds)
    assert found["attack entropy"] == both(made.method[:, 1] + 1)


def test_mean_of_disparities_and_disparity_of_means_against_numpy(lines, made):
    found = lines["DAU"].spreads
    assert found["disparity"] == both(np.abs(made.method - made.retrain).mean(axis=1))
    assert found["of means"] == (pytest.approx(np.abs(made.method.mean(0) - made.retrain.mean(0)).mean()), None)
    assert found["disparity"].mean > found["of means"].mean  # errors of seeds cancel in means only


def test_ratios_of_times_against_numpy(lines, made):
    found = lines["DAU"].spreads
    assert found["time_ratio"] == both(made.seconds / made.retrain_seconds)
    assert found["speed-up"] == both(made.retrain_seconds / made.seconds)
    assert found["speed-up"].mean != pytest.approx(1 / found["time_ratio"].mean)  # by seed, not of means
    assert lines["Retrain"].spreads["speed-up"] == (1, 0)


def test_retrain_is_its_own_reference(lines):
    assert all(lines["Retrain"].spreads[column] == (0, 0) for column in (*GAPS, "disparity"))


def test_one_seed_has_no_deviation():
    assert Spread.of([3.0]) == (3.0, None)


def test_without_retrain_there_is_no_distance():
    row = {"UA": 1.0, "MIA": 2.0, "RA": 3.0, "TA": 4.0, "TA_forgotten": None, "seconds": 5.0}
    assert set(spreads({0: row}, {})) == {*COLUMNS, "seconds"}


def test_a_method_without_training_has_no_speed_up():
    row = {"UA": 1.0, "MIA": 2.0, "RA": 3.0, "TA": 4.0, "seconds": 5.0}
    found = spreads({0: row | {"seconds": 0.0}}, {0: row})
    assert found["time_ratio"] == (0, None)
    assert "speed-up" not in found

import pytest

from dau_lightning.metric.disparity import disparity, gaps, time_ratio

# Table 1, CIFAR-100, random, dense.
RETRAIN = {"UA": 24.75, "MIA": 49.68, "RA": 99.98, "TA": 74.57}
DAU = {"UA": 10.50, "MIA": 30.09, "RA": 97.60, "TA": 71.25}


def test_gaps_of_a_row_of_the_paper() -> None:
    assert gaps(DAU, RETRAIN) == pytest.approx({"UA": 14.25, "MIA": 19.59, "RA": 2.38, "TA": 3.32})


def test_disparity_of_a_row_of_the_paper() -> None:
    assert disparity(DAU, RETRAIN) == pytest.approx(9.885)


def test_more_forgetting_than_retrain_is_no_merit() -> None:
    below, above = ({**RETRAIN, "UA": 24.75 + 4 * sign, "MIA": 49.68 + 8 * sign} for sign in (-1, 1))
    assert disparity(below, RETRAIN) == pytest.approx(3)
    assert disparity(above, RETRAIN) == pytest.approx(3)


def test_retrain_is_its_own_reference() -> None:
    assert disparity(RETRAIN, RETRAIN) == 0


def test_other_columns_do_not_count() -> None:
    assert disparity({**DAU, "seconds": 1e6, "TA_forgotten": 0.0}, {**RETRAIN, "seconds": 0.0}) == pytest.approx(9.885)


def test_a_missing_column_is_no_silent_zero() -> None:
    with pytest.raises(KeyError, match="MIA"):
        disparity({"UA": 1.0, "RA": 1.0, "TA": 1.0}, RETRAIN)


def test_seconds_of_other_hardware_are_no_ratio() -> None:
    row, retrain = {"seconds": 3.0, "measured_on": "1 x cpu"}, {"seconds": 6.0, "measured_on": "1 x cpu"}
    assert time_ratio(row, retrain) == {"time_ratio": 0.5}
    assert time_ratio(row, {**retrain, "measured_on": "1 x H200"}) == {}

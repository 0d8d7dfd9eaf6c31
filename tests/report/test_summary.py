import csv
import io

import numpy as np
import pytest

from dau_lightning.metric.disparity import COMPARED
from dau_lightning.report import columns, summary
from dau_lightning.report.columns import Column
from dau_lightning.report.section import sections


@pytest.fixture
def numbers(write, rows):
    """The summary of three seeds by method."""
    for seed in range(3):
        write(seed)
    return summary.summary(rows()).set_index("method")


def both(values: np.ndarray) -> list[float]:
    return [pytest.approx(values.mean()), pytest.approx(values.std(ddof=1))]


def test_means_and_deviations_over_seeds_against_numpy(numbers, made):
    def found(name: str) -> list[float]:
        return numbers.loc["DAU", [f"{name}_mean", f"{name}_std"]].tolist()

    for column, values, distances in zip(COMPARED, made.method.T, np.abs(made.method - made.retrain).T, strict=True):
        assert found(column) == both(values)
        assert found(f"gap_{column}") == both(distances)
    assert found("disparity") == both(np.abs(made.method - made.retrain).mean(axis=1))
    assert found("seconds") == both(made.seconds)
    assert found("speed_up") == both(made.retrain_seconds / made.seconds)  # by seed, not the ratio of the means


def test_disparity_of_the_means_against_numpy(numbers, made):
    found = numbers.disparity_of_means["DAU"]
    assert found == pytest.approx(np.abs(made.method.mean(0) - made.retrain.mean(0)).mean())
    assert found < numbers.disparity_mean["DAU"]  # errors of seeds cancel in means only


def test_one_seed_has_no_deviation(write, rows):
    write()
    assert summary.summary(rows()).UA_std.isna().all()


def test_csv_is_tidy_and_unrounded(paper, rows, made):
    read_back = list(csv.DictReader(io.StringIO(summary.csv(rows()))))
    assert [(row["sparsity"], row["method"]) for row in read_back] == [
        (sparsity, name) for sparsity in ("dense", "95% sparse") for name in ("Retrain", "Retrain 2", "Original", "DAU", "FT")
    ]
    (row,) = [row for row in read_back if row["method"] == "DAU" and row["sparsity"] == "dense"]
    assert float(row["UA_mean"]) == pytest.approx(made.method[:, 0].mean(), rel=1e-12)
    assert float(row["gap_UA_std"]) == pytest.approx(np.abs(made.method - made.retrain)[:, 0].std(ddof=1), rel=1e-12)
    assert float(row["attack_entropy_mean"]) == pytest.approx(made.method[:, 1].mean() + 1)
    assert (row["paper_UA_mean"], row["paper_UA_std"]) == ("3.46", "0.13")
    assert float(row["paper_disparity"]) == pytest.approx(2.325)
    assert float(row["paper_speed_up"]) == pytest.approx(82.15 / 7.98)
    assert (row["kind"], row["seeds"], row["n"], row["selection"], row["zeros_mean"]) == ("dau_paper", "0 1 2", "3", "0", "")
    assert all(name.isascii() and name.isidentifier() for name in row)
    assert {row["paper_UA_mean"] for row in read_back if row["method"] == "Retrain 2"} == {""}


def test_csv_of_several_groups_has_one_header(write, rows):
    write()
    write(scheme="classwise", rows={"dau": {"TA_forgotten": 3.0, "flags": ["look", "twice"]}})
    read_back = list(csv.DictReader(io.StringIO(summary.csv(rows()))))
    found = {(row["scheme"], row["method"]): (row["TA_forgotten_mean"], row["flags"]) for row in read_back}
    assert found["classwise", "DAU"] == ("3.0", "look; twice")
    assert found["random", "DAU"] == ("", "")


def test_one_line_adds_a_column_to_csv_and_tables(write, rows, monkeypatch):
    monkeypatch.setitem(columns.COLUMNS, "AUC", Column("AUC", "AUC", "accuracy", "area under the ROC curve"))
    monkeypatch.setitem(columns.COLUMNS, "voided", Column("voided", "voided", "accuracy", "a", key="MIA_draws.voided"))
    write(rows={"dau": {"AUC": 0.5, "MIA_draws": {"voided": 2}}})
    numbers = summary.summary(rows()).set_index("method")
    assert numbers.loc["DAU", ["AUC_mean", "voided_mean"]].tolist() == [0.5, 2]
    assert {("AUC", ""), ("voided", "")} <= set(sections(rows())[0].tables["accuracy"])

import csv
from importlib.resources import files

import pytest

from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report import published
from dau_lightning.report.group import groups
from dau_lightning.report.read import read

ROWS = list(csv.DictReader((files("dau_lightning.report") / "published.csv").read_text().splitlines()))

# Tables 1 and 2: UA, MIA, RA, TA, the average printed beside them, and the one that the row gives.
PRINTED = [
    ("cifar10", "random", "dense", "dau", 3.46, 8.25, 99.50, 93.50, 2.32, 2.325),
    ("cifar10", "random", "dense", "influence", 0.42, 1.49, 99.57, 93.89, 4.96, 4.66),
    ("cifar10", "random", "dense", "dau_without_regulariser", 3.03, 7.60, 99.64, 93.54, 2.61, 2.55),
    ("cifar10", "classwise", "dense", "finetune", 8.36, 40.76, 99.92, 94.41, 37.84, 37.84),
    ("cifar10", "classwise", "0.95", "dau", 100, 100, 95.00, 90.47, 1.57, 1.5725),
    ("cifar100", "random", "dense", "dau", 10.50, 30.09, 97.60, 71.25, 5.48, 9.885),
    ("cifar100", "random", "dense", "finetune", 0.11, 5.66, 99.97, 75.45, 16.65, 17.3875),
    ("cifar100", "random", "dense", "dau_without_regulariser", 9.79, 29.10, 97.62, 71.28, 5.71, 10.2975),
    ("cifar100", "random", "0.95", "dau", 13.36, 24.65, 95.21, 69.94, 5.43, 9.495),
    ("cifar100", "classwise", "0.95", "gradient_ascent", 84.22, 91.56, 89.91, 65.85, 8.64, 8.635),
]


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: " ".join(row[:4]))
def test_disparities_are_recomputed_from_rows(row):
    dataset, scheme, sparsity, kind, *numbers = row
    found = published.numbers(published.table(dataset, scheme, sparsity), kind, {})
    assert [found[column][0] for column in COLUMNS] == numbers[:4]
    assert found["disparity"] == (pytest.approx(numbers[5], abs=0.01), None)
    assert float(published.table(dataset, scheme, sparsity)[kind]["printed_disparity"]) == numbers[4]


def test_cifar100_random_is_not_what_is_printed():
    found = published.numbers(published.table("cifar100", "random", "dense"), "dau", {})
    assert found["disparity"][0] == pytest.approx(9.885, abs=0.01)


def test_averages_that_agree_with_their_rows_do():
    """Of a transcription: where a printed average is near its row's, it is so to the last digit."""
    checked = 0
    for row in ROWS:
        table = published.table(row["dataset"], row["scheme"], row["sparsity"])
        if "disparity" in (found := published.numbers(table, row["kind"], {})) and row["dataset"] == "cifar10":
            agrees = found["disparity"][0] == pytest.approx(float(row["printed_disparity"]), abs=0.02)
            disagree = {("dense", "influence"), ("dense", "dau_without_regulariser"), ("0.95", "finetune")}
            assert agrees != (row["scheme"] == "random" and (row["sparsity"], row["kind"]) in disagree), row
            checked += 1
    assert checked == 22


def test_damaged_cells_are_empty_and_have_no_disparity():
    rows = published.table("cifar100", "classwise", "dense")
    assert "influence" not in rows
    found = published.numbers(rows, "dau", {})
    assert set(found) == {"UA", "RA", "TA", "minutes", "speed-up"}
    assert found["UA"] == (97.2, 2.15)
    assert set(published.numbers(published.table("cifar100", "classwise", "0.95"), "dau", {})) == {"RA", "TA"}


def test_speed_up_is_of_printed_minutes():
    rows = published.table("cifar100", "classwise", "dense")
    assert published.numbers(rows, "dau", {})["speed-up"][0] == pytest.approx(82.22 / 16.65)  # "at least 5x" in the text


def test_dau_without_its_regulariser_is_the_row_of_table_2():
    rows = published.table("cifar10", "random", "dense")
    assert published.numbers(rows, "dau", {"regulariser_weight": 0.0})["UA"] == (3.03, 0.23)
    assert published.numbers(rows, "dau", {"regulariser_weight": 0.001})["UA"] == (3.46, 0.13)


RESULT = {
    "dataset": "cifar10",
    "network": "resnet18",
    "scheme": "random",
    "settings": {"scheme": {"fraction": 0.1}, "dataset": {"train_limit": None, "test_limit": None}},
}


def test_the_papers_setting():
    assert set(published.cell(RESULT, "dense")) >= {"retrain", "dau", "finetune"}
    assert published.cell(RESULT, "95% sparse")["dau"]["UA"] == "4.92"
    assert published.cell(RESULT | {"scheme": "classwise", "settings": {"scheme": {"target": 3}}}, "dense")


@pytest.mark.parametrize(
    ("changes", "sparsity"),
    [
        ({"dataset": "digits"}, "dense"),
        ({"network": "resnet9"}, "dense"),
        ({"scheme": "other"}, "dense"),
        ({}, "90% sparse"),
        ({"settings": {"scheme": {"fraction": 0.5}}}, "dense"),
        ({"settings": {"scheme": {"fraction": 0.1}, "dataset": {"train_limit": 1000}}}, "dense"),
    ],
)
def test_another_setting_has_no_reference(changes, sparsity):
    assert published.cell(RESULT | changes, sparsity) == {}


def test_the_papers_numbers_stand_in_our_rows(paper, tmp_path):
    (group,) = groups(read([tmp_path]))
    dense, sparse = (lines["DAU"].spreads for lines in group.cells.values())
    assert dense["paper UA"] == (3.46, 0.13)
    assert dense["paper speed-up"] == (pytest.approx(82.15 / 7.98), None)
    assert sparse["paper disparity"] == (pytest.approx(2.315), None)
    assert not [column for column in group.cells["dense"]["Retrain 2"].spreads if column.startswith("paper")]

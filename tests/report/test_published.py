import copy
import csv
from importlib.resources import files
from typing import Any

import pytest

from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report import published
from dau_lightning.report.group import groups
from dau_lightning.report.read import read

from .conftest import settings_of

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
    found = published.numbers(published.table(dataset, scheme, sparsity), kind)
    assert [found[column][0] for column in COLUMNS] == numbers[:4]
    assert found["disparity"] == (pytest.approx(numbers[5], abs=0.01), None)
    assert float(published.table(dataset, scheme, sparsity)[kind]["printed_disparity"]) == numbers[4]


def test_cifar100_random_is_not_what_is_printed():
    found = published.numbers(published.table("cifar100", "random", "dense"), "dau")
    assert found["disparity"][0] == pytest.approx(9.885, abs=0.01)


def test_averages_that_agree_with_their_rows_do():
    """Of a transcription: where a printed average is near its row's, it is so to the last digit."""
    checked = 0
    for row in ROWS:
        table = published.table(row["dataset"], row["scheme"], row["sparsity"])
        if "disparity" in (found := published.numbers(table, row["kind"])) and row["dataset"] == "cifar10":
            agrees = found["disparity"][0] == pytest.approx(float(row["printed_disparity"]), abs=0.02)
            disagree = {("dense", "influence"), ("dense", "dau_without_regulariser"), ("0.95", "finetune")}
            assert agrees != (row["scheme"] == "random" and (row["sparsity"], row["kind"]) in disagree), row
            checked += 1
    assert checked == 22


def test_damaged_cells_are_empty_and_have_no_disparity():
    rows = published.table("cifar100", "classwise", "dense")
    assert "influence" not in rows
    found = published.numbers(rows, "dau")
    assert set(found) == {"UA", "RA", "TA", "minutes", "speed-up"}
    assert found["UA"] == (97.2, 2.15)
    assert set(published.numbers(published.table("cifar100", "classwise", "0.95"), "dau")) == {"RA", "TA"}


def test_speed_up_is_of_printed_minutes():
    rows = published.table("cifar100", "classwise", "dense")
    assert published.numbers(rows, "dau")["speed-up"][0] == pytest.approx(82.22 / 16.65)  # "at least 5x" in the text


def result(scheme: str = "random", sparsity: str = "dense", baseline: str = "dau", dataset: str = "cifar10") -> dict[str, Any]:
    """Of a run by the real yaml, with settings of its own to change."""
    settings = copy.deepcopy(settings_of(dataset, scheme, sparsity, baseline))
    return {"dataset": dataset, "network": "resnet18", "scheme": scheme, "baseline": baseline, "settings": settings}


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
@pytest.mark.parametrize("scheme", ["random", "classwise"])
@pytest.mark.parametrize("sparsity", ["dense", "omp95"])
@pytest.mark.parametrize("baseline", ["dau", "finetune", "gradient_ascent", "fisher"])
def test_the_presets_are_the_papers_settings(dataset, scheme, sparsity, baseline):
    run, words = result(scheme, sparsity, baseline, dataset), {"dense": "dense", "omp95": "95% sparse"}[sparsity]
    assert baseline in published.cell(run, words)
    assert published.printed_kind(run, words, baseline) == baseline
    assert published.printed_kind(run, words, "retrain") == "retrain"


@pytest.mark.parametrize(("name", "value"), [("regulariser_weight", 0.0), ("regulariser", {"_target_": "a.NoRegulariser"})])
def test_dau_without_its_regulariser_is_the_row_of_table_2(name, value):
    run = result()
    run["settings"]["baseline"][name] = value
    assert published.printed_kind(run, "dense", "dau") == "dau_without_regulariser"


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        ("baseline", {"lr": 0.1}),
        ("baseline", {"adversarial_weight": 0.5}),
        ("baseline", {"adversarial_steps": 30}),
        ("baseline", {"regulariser": {"_target_": "dau_lightning.game.regulariser.vicreg"}}),
        ("baseline", {"objective": {"_target_": "dau_lightning.game.objective.Wasserstein"}}),
        ("baseline", {"term": {"gradient_ascent": {"weight": 1}}}),
        ("baseline", {"sensitivity": {"copies": 0}}),
    ],
)
def test_a_method_of_other_settings_has_no_reference(node, changes):
    run = result()
    run["settings"][node] |= changes
    assert published.cell(run, "dense")
    assert published.printed_kind(run, "dense", "dau") is None


def test_other_settings_of_baselines_have_no_reference():
    run = result(baseline="finetune")
    run["settings"]["baseline"]["lr"] = 0.1
    assert published.printed_kind(run, "dense", "finetune") is None
    for dataset, expected in (("cifar10", None), ("cifar100", "gradient_ascent")):
        run = result("classwise", baseline="gradient_ascent", dataset=dataset)
        run["settings"]["baseline"]["lr"] = 0.5  # printed for CIFAR-10, else a grid
        assert published.printed_kind(run, "dense", "gradient_ascent") == expected


@pytest.mark.parametrize(
    ("node", "changes", "sparsity"),
    [
        (None, {"dataset": "digits"}, "dense"),
        (None, {"network": "resnet9"}, "dense"),
        (None, {"scheme": "other"}, "dense"),
        (None, {}, "90% sparse"),
        ("scheme", {"fraction": 0.5}, "dense"),
        ("dataset", {"train_limit": 1000}, "dense"),
        ("recipe", {"epochs": 1}, "dense"),
        ("sparsity", {"rewind_epochs": 2}, "95% sparse"),
    ],
)
def test_another_setting_has_no_reference(node, changes, sparsity):
    run = result(sparsity="omp95" if sparsity != "dense" else "dense")
    target = run["settings"][node] if node else run
    target |= changes
    assert published.cell(run, sparsity) == {}


def test_the_papers_numbers_stand_in_our_rows(paper, tmp_path):
    (group,) = groups(read([tmp_path]))
    dense, sparse = (lines["DAU"].spreads for lines in group.cells.values())
    assert dense["paper UA"] == (3.46, 0.13)
    assert dense["paper speed-up"] == (pytest.approx(82.15 / 7.98), None)
    assert sparse["paper disparity"] == (pytest.approx(2.315), None)
    assert not [column for column in group.cells["dense"]["Retrain 2"].spreads if column.startswith("paper")]

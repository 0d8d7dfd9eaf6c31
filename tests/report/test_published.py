import copy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from dau_lightning.base.error import InputError
from dau_lightning.metric.disparity import COMPARED
from dau_lightning.report import published
from dau_lightning.report.__main__ import main
from dau_lightning.report.read import Run
from dau_lightning.report.section import sections
from tests.composed import composed

from .conftest import settings_of

# Tables 1 and 2: UA, MIA, RA, TA, the average printed beside them, and the one that the row gives.
PRINTED = [
    ("cifar10", "random", "dense", "dau_paper", 3.46, 8.25, 99.50, 93.50, 2.32, 2.325),
    ("cifar10", "random", "dense", "influence", 0.42, 1.49, 99.57, 93.89, 4.96, 4.66),
    ("cifar10", "random", "dense", "dau_without_regulariser", 3.03, 7.60, 99.64, 93.54, 2.61, 2.55),
    ("cifar10", "classwise", "dense", "finetune", 8.36, 40.76, 99.92, 94.41, 37.84, 37.84),
    ("cifar10", "classwise", "omp95", "dau_paper", 100, 100, 95.00, 90.47, 1.57, 1.5725),
    ("cifar100", "random", "dense", "dau_paper", 10.50, 30.09, 97.60, 71.25, 5.48, 9.885),
    ("cifar100", "random", "dense", "finetune", 0.11, 5.66, 99.97, 75.45, 16.65, 17.3875),
    ("cifar100", "random", "dense", "dau_without_regulariser", 9.79, 29.10, 97.62, 71.28, 5.71, 10.2975),
    ("cifar100", "random", "omp95", "dau_paper", 13.36, 24.65, 95.21, 69.94, 5.43, 9.495),
    ("cifar100", "classwise", "omp95", "gradient_ascent", 84.22, 91.56, 89.91, 65.85, 8.64, 8.635),
]


@pytest.mark.parametrize("printed", PRINTED, ids=lambda row: " ".join(row[:4]))
def test_disparities_are_recomputed_from_the_printed_means(printed):
    dataset, scheme, sparsity, kind, *numbers = printed
    row = published.paper_rows().loc[f"{dataset}-{kind}-{scheme}-{sparsity}"]
    assert [row[f"paper_{column}_mean"] for column in COMPARED] == numbers[:4]
    assert row.paper_disparity == pytest.approx(numbers[5], abs=0.01)


def test_averages_that_agree_with_their_rows_do_so_to_the_last_digit():
    """A check of the transcription: of the averages for CIFAR-10 only four differ from their rows."""
    rows = published.paper_rows().query("dataset == 'cifar10'").dropna(subset="paper_disparity")
    differ = (rows.paper_disparity - rows.printed_disparity).abs() > 0.02
    assert len(rows) == 22
    assert list(rows.index[differ]) == [
        "cifar10-influence-random-dense",
        "cifar10-dau_without_regulariser-random-dense",
        "cifar10-finetune-random-omp95",
    ]


def test_damaged_cells_are_empty_and_have_no_disparity():
    rows = published.paper_rows().filter(like="paper_")
    assert "cifar100-influence-classwise-dense" not in rows.index
    dense, sparse = (rows.loc[f"cifar100-dau_paper-classwise-{sparsity}"].dropna() for sparsity in ("dense", "omp95"))
    columns = {f"paper_{column}_{part}" for column in ("RA", "TA") for part in ("mean", "std")}
    assert set(dense.index) == {*columns, "paper_UA_mean", "paper_UA_std", "paper_minutes", "paper_speed_up"}
    assert set(sparse.index) == columns
    assert dense.paper_speed_up == pytest.approx(82.22 / 16.65)  # "at least 5x" in the text


def result(
    scheme: str = "random", sparsity: str = "dense", baseline: str = "dau_paper", dataset: str = "cifar10"
) -> dict[str, Any]:
    """Of a run with the settings that the real configuration composes, to change."""
    names = {"dataset": dataset, "network": "resnet18", "scheme": scheme, "sparsity": sparsity, "baseline": baseline}
    return names | {"selection": False, "settings": copy.deepcopy(settings_of(dataset, scheme, sparsity, baseline))}


def name(run: dict[str, Any], kind: str = "dau_paper") -> str | None:
    return published.name(Run(Path(), run), kind)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
@pytest.mark.parametrize("scheme", ["random", "classwise"])
@pytest.mark.parametrize("sparsity", ["dense", "omp95"])
@pytest.mark.parametrize("baseline", ["dau_paper", "finetune", "gradient_ascent", "fisher"])
def test_the_composed_configuration_has_the_papers_settings(dataset, scheme, sparsity, baseline):
    run = result(scheme, sparsity, baseline, dataset)
    assert name(run, baseline) == f"{dataset}-{baseline}-{scheme}-{sparsity}"
    assert name(run, "retrain") == f"{dataset}-retrain-{scheme}-{sparsity}"
    assert name(run, "original") is None


@pytest.mark.parametrize("setting", ["baseline.regulariser_weight=0", "baseline/regulariser=none"])
def test_dau_without_its_regulariser_is_the_row_of_table_2(setting):
    run = result()
    config = composed("dataset=cifar10", "scheme=random", "sparsity=dense", "baseline=dau_paper", setting)
    run["settings"] = OmegaConf.to_container(config, resolve=True)
    assert name(run) == "cifar10-dau_without_regulariser-random-dense"


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.1},
        {"adversarial_weight": 0.5},
        {"adversarial_steps": 30},
        {"regulariser": {"_target_": "dau_lightning.game.regulariser.vicreg"}},
        {"objective": {"_target_": "dau_lightning.game.objective.Wasserstein"}},
        {"term": {"gradient_ascent": {"weight": 1}}},
        {"sensitivity": {"copies": 0}},
    ],
)
def test_a_method_with_other_settings_has_no_numbers_of_the_paper(changes):
    run = result()
    run["settings"]["baseline"] |= changes
    assert name(run) is None
    assert name(run, "retrain") == "cifar10-retrain-random-dense"


def test_only_rates_that_the_paper_prints_are_compared():
    for baseline, dataset, printed in (
        ("finetune", "cifar10", True),
        ("gradient_ascent", "cifar10", True),
        ("gradient_ascent", "cifar100", False),
    ):
        run = result("classwise", baseline=baseline, dataset=dataset)
        run["settings"]["baseline"]["lr"] = 0.5
        assert (name(run, baseline) is None) is printed


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        (None, {"dataset": "digits"}),
        (None, {"network": "resnet9"}),
        (None, {"scheme": "other"}),
        (None, {"selection": True}),
        ("scheme", {"fraction": 0.5}),
        ("dataset", {"train_limit": 1000}),
        ("recipe", {"epochs": 1}),
        ("sparsity", {"amount": 0.9}),
        ("sparsity", {"rewind_epochs": 2}),
    ],
)
def test_another_setting_of_the_run_has_no_numbers_of_the_paper(node, changes):
    run = result(sparsity="omp95")
    target = run["settings"][node] if node else run
    target |= changes
    assert name(run, "retrain") is None


def test_a_class_of_ones_own_choice_is_within_the_papers_settings():
    run = result("classwise")
    run["settings"]["scheme"]["target"] = 3
    assert name(run) == "cifar10-dau_paper-classwise-dense"


def test_the_papers_numbers_stand_beside_ours(paper, rows):
    (section,) = sections(rows())
    table = section.tables["paper"]["paper_UA"]
    assert table.loc["DAU"].tolist() == ["3.46±0.13", "4.92±0.26"]
    assert table.loc["Retrain 2"].tolist() == ["-", "-"]


def test_the_papers_numbers_beside_another_setting_have_a_note(write, tmp_path, rows, capsys):
    for sparsity in ("dense", "omp95"):
        write(0, "dau_paper", sparsity=sparsity)
        write(0, sparsity=sparsity, rows={"dau": {"label": "DAU (ours)"}})  # a method that the paper has not
    assert "paper" not in sections(rows())[0].tables
    (section,) = sections(published.beside(rows(), "cifar100"))
    table = section.tables["paper"]["paper_UA"]
    assert table.loc["DAU"].tolist() == ["10.50±0.45", "13.36±0.97"]
    assert table.loc["DAU (ours)"].tolist() == ["-", "-"]
    assert [note for note in section.notes if "not the values" in note] == [published.BESIDE.format(dataset="cifar100")]
    main([str(tmp_path), "--paper", "cifar10", "--format", "markdown"])
    printed = capsys.readouterr().out
    assert "| 3.46±0.13 |" in printed
    assert "those of another setting, cifar10 from its official archive" in printed
    with pytest.raises(InputError, match="--paper is for tables"):
        main([str(tmp_path), "--paper", "cifar10", "--format", "rows"])


def test_rows_of_the_papers_setting_have_no_such_note(paper, rows):
    found = published.beside(rows(), "cifar10")
    assert found.beside.isna().all()
    assert found.published.equals(rows().published)

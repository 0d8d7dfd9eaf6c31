import json

import numpy as np
import pandas as pd
import pytest

from dau_lightning.metric.disparity import COMPARED
from dau_lightning.report.read import read, unfinished
from dau_lightning.report.rows import records_of, table_of
from dau_lightning.report.section import sections
from dau_lightning.storage.audit_file import write_audit


@pytest.fixture
def methods(rows):
    """The names of all methods in the order of their table."""
    return lambda: list(sections(rows())[0].tables["accuracy"].index)


def test_distances_are_to_the_retrain_of_the_same_seed(write, rows, made):
    for seed in range(3):
        write(seed)
    found = rows().set_index(["method", "seed"]).loc["DAU"]
    gaps = np.abs(made.method - made.retrain)
    assert found[[f"gap_{column}" for column in COMPARED]].to_numpy() == pytest.approx(gaps)
    assert list(found.disparity) == pytest.approx(list(gaps.mean(axis=1)))
    assert list(found.time_ratio) == pytest.approx(list(made.seconds / made.retrain_seconds))
    assert list(found.speed_up) == pytest.approx(list(made.retrain_seconds / made.seconds))
    retrain = rows().set_index("method").loc["Retrain"]
    assert (retrain[[*(f"gap_{column}" for column in COMPARED), "disparity"]] == 0).all(axis=None)


def test_a_run_without_retrain_is_compared_with_that_of_another_run(write, rows):
    write(name="finetune", rows={"retrain": {"AUC": 50.0}})
    write(reference=False, rows={"dau": {"AUC": 47.0}})
    assert rows().set_index("method").disparity["DAU"] == rows().set_index("method").disparity["FT"]
    assert rows().set_index("method").AUC_gap["DAU"] == 3.0


def test_time_is_compared_with_the_retrain_of_the_same_run_and_hardware(write, rows):
    write(name="finetune")
    write(rows={"retrain": {"seconds": 1000.0}})  # trained again on another machine
    write(name="fisher", rows={"fisher": {"measured_on": "a GPU"}})
    write(name="influence", rows={"influence": {"seconds": 0.0}})
    speed_ups = rows().set_index("method").speed_up
    assert speed_ups[["DAU", "FT"]].tolist() == [100, 10]
    assert speed_ups[["FF", "IU"]].isna().all()


def test_without_any_retrain_there_is_no_distance(write, rows):
    write(reference=False)
    assert "disparity" not in rows()


def test_order_is_references_then_methods_by_mean_disparity_then_by_name(write, methods):
    errors = {
        "dau": (20.0, 30.0),
        "zebra": (12.0, 12.0),
        "finetune": (10.0, 40.0),
        "aardvark": (12.0, 12.0),
        "retrain_again": (90.0, 90.0),
    }
    for name, each in errors.items():
        for seed, error in enumerate(each):
            write(seed, name, rows={name: {"UA": error}})
    assert methods() == ["Retrain", "Retrain 2", "Original", "Aardvark", "Zebra", "DAU", "FT"]


def test_settings_in_which_runs_differ_are_part_of_the_name(write, methods):
    write()
    write(method={"lr": 0.2})
    write(name="finetune")
    assert methods() == ["Retrain", "Original", "DAU lr=0.1", "DAU lr=0.2", "FT"]


def test_a_setting_that_only_some_runs_have_is_null_for_the_others(write, methods):
    write()
    write(method={"copies": 10})
    assert methods()[2:] == ["DAU copies=10", "DAU copies=null"]


def test_settings_varied_in_one_sparsity_name_the_rows_of_the_other(write, methods):
    write()
    write(method={"regulariser_weight": 0.0})
    write(sparsity="omp95", method={"lr": 0.3})  # a preset of its sparsity is no variation
    assert methods()[2:] == ["DAU regulariser_weight=0.001", "DAU regulariser_weight=0.0"]  # the nearest first


def test_a_part_of_several_kinds_is_named_by_its_kind_and_by_what_differs_within_one(write, methods):
    for attacker in (
        {"_target_": "game.Exact", "power": 2, "largest": 20.0},
        {"_target_": "game.Exact", "power": 1, "largest": 20.0},
        {"_target_": "game.Logistic", "ridge": 0.01},
    ):
        write(method={"attacker": attacker})
    names = {"DAU attacker=Exact attacker.power=2", "DAU attacker=Exact attacker.power=1"}
    assert set(methods()[2:]) == names | {"DAU attacker=Logistic"}


def test_labels_that_differ_say_enough(write, methods):
    write(method={"regulariser_weight": 0.001})
    write(method={"regulariser_weight": 0.0}, rows={"dau": {"label": "beta 0"}})
    assert set(methods()[2:]) == {"DAU", "beta 0"}


def test_methods_with_the_same_label_are_told_apart_by_their_kind(write, methods):
    write()
    write(name="mine", rows={"mine": {"label": "DAU"}})
    assert methods() == ["Retrain", "Original", "DAU (dau)", "DAU (mine)"]


def test_every_amount_is_a_sparsity_of_its_own_and_dense_comes_first(write, rows):
    for amount in (0.95, 0.9):
        write(sparsity="omp95", amount=amount)
    write(sparsity="structured", amount=0.5)
    write()
    assert list(rows().sparsity.unique()) == ["dense", "structured", "90% sparse", "95% sparse"]


def test_zeros_are_given_for_sparse_networks_only(write, rows):
    write(sparsity="omp95")
    write(rows={"dau": {"sparsity": 0.01}})
    zeros = rows().set_index(["sparsity", "method"]).zeros
    assert zeros["95% sparse", "DAU"] == 95
    assert zeros["dense"].isna().all()


def test_rows_that_several_runs_share_stand_there_once(write, rows):
    write()
    write(name="finetune")
    assert list(rows().method) == ["Retrain", "Original", "DAU", "FT"]


def test_each_list_request_and_network_is_a_group_of_its_own(write, rows):
    def asked(seed=0, name="dau", sha="a", settings=(), **changes):
        files = {"scheme.file": {"sha256": sha}}
        folder = write(seed, name, scheme="indices", split_hash=f"{sha}{seed}", files=files, **changes)
        result = json.loads((folder / "result.json").read_text())
        result["settings"] |= {"scheme": {"file": "lists/forget.csv", "where": None}} | dict(settings)
        (folder / "result.json").write_text(json.dumps(result))

    for seed in range(2):
        asked(seed)
        asked(seed, "finetune")
    asked(sha="b")
    asked(sha="a+b", settings={"continue_from": "runs/seed=0-0123abcd"})
    asked(sha="c", settings={"scheme": {"file": "lists/forget.csv", "where": "user == 17"}})
    for name in ("resnet18", "resnet50"):
        asked(network="torchvision", settings={"network": {"name": name}})
    groups = rows().groupby(["network", "scheme"]).seed.unique().map(list)
    assert set(groups.index.get_level_values(0)) == {"convnet", "torchvision resnet18", "torchvision resnet50"}
    schemes = groups["convnet"].index
    assert sorted(scheme.partition("forget.csv")[2] for scheme in schemes) == [
        *("", "", " after seed=0-0123abcd", " where user == 17"),
    ]
    assert sorted(map(len, groups)) == [1, 1, 1, 1, 1, 2]


def test_a_run_found_twice_counts_once(write, tmp_path):
    path = write()
    assert len(read([tmp_path, path, path.parent])) == 1


def test_runs_without_a_result_are_named_with_the_reason(write, tmp_path):
    write()
    for name, reason in (("killed", ""), ("diverged", "FT: the loss is nan at step 3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("seed: 7")
        if reason:
            (tmp_path / name / "failed.txt").write_text(f"{reason}\n")
    diverged, killed = unfinished([tmp_path])
    assert diverged == f"{tmp_path / 'diverged'} has no result and is left out (FT: the loss is nan at step 3)"
    assert "it was stopped, or is still running" in killed


def test_a_shared_retrain_has_the_figures_of_the_audit_whichever_run_was_audited(write, rows):
    write(name="finetune")
    figures = {kind: {"value": value} for kind, value in (("method", 55.0), ("retrain", 50.0), ("original", 70.0))}
    write_audit(write(), {"tests": {"rmia": {"verdict": "fail", "figures": figures}}, "summary": "", "weights": ""})
    found = rows().set_index("method").audit_rmia
    assert found[["Retrain", "Original", "DAU"]].tolist() == [50.0, 70.0, 55.0]


def test_methods_of_one_label_in_two_sources_are_told_apart(write):
    first, second = write(0), write(0, name="mine", rows={"mine": {"label": "DAU"}})
    some = pd.concat([records_of(read([folder])) for folder in (first, second)], ignore_index=True)
    assert set(table_of(some).method) == {"Retrain", "Original", "DAU (dau)", "DAU (mine)"}

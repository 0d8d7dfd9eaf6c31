import json
import re

import pytest

from dau_lightning.base.error import InputError
from dau_lightning.report.group import groups
from dau_lightning.report.read import read


def names(root, **options):
    (group,) = groups(read([root]), **options)
    return list(group.lines)


def test_order_is_references_baselines_and_dau_last(write, tmp_path):
    for name in ("dau", "zebra", "influence", "fisher", "aardvark", "gradient_ascent", "finetune", "retrain_again"):
        write(0, name)
    expected = ["Retrain", "Retrain 2", "Original", "FT", "GA", "FF", "IU", "Aardvark", "Zebra", "DAU"]
    assert names(tmp_path) == expected


def test_what_differs_names_the_row(write, tmp_path):
    write(lr=0.1)
    write(lr=0.2)
    write(name="finetune")
    assert names(tmp_path) == ["Retrain", "Original", "FT", "DAU lr=0.1", "DAU lr=0.2"]


def test_an_ablation_in_one_sparsity_names_its_row_in_the_other(write, tmp_path):
    write()
    write(regulariser_weight=0.0)
    write(sparsity="omp95")
    expected = ["Retrain", "Original", "DAU regulariser_weight=0.0", "DAU regulariser_weight=0.001"]
    assert names(tmp_path) == expected


def test_methods_of_one_label_are_told_apart(write, tmp_path):
    write()
    write(name="mine", rows={"mine": {"label": "DAU"}})
    assert names(tmp_path) == ["Retrain", "Original", "DAU (mine)", "DAU (dau)"]


def test_other_amounts_are_other_cells_and_dense_comes_first(write, tmp_path):
    for amount in (0.95, 0.9):
        write(sparsity="omp95", amount=amount)
    write(sparsity="structured", amount=0.5)
    write()
    (group,) = groups(read([tmp_path]))
    assert list(group.cells) == ["dense", "structured", "90% sparse", "95% sparse"]


def test_measured_zeros_stand_with_sparse_rows_only(write, tmp_path):
    write(sparsity="omp95")
    write(rows={"dau": {"sparsity": 0.01}})
    (group,) = groups(read([tmp_path]))
    assert group.cells["95% sparse"]["DAU"].spreads["zeros"] == (95, None)
    assert "zeros" not in group.cells["dense"]["DAU"].spreads


def test_time_is_compared_with_the_retrain_of_the_same_run(write, tmp_path):
    write(name="finetune")
    write(rows={"retrain": {"seconds": 1000.0}})  # trained again on another machine
    (group,) = groups(read([tmp_path]))
    assert group.cells["dense"]["DAU"].spreads["speed-up"].mean == 100
    assert group.cells["dense"]["FT"].spreads["speed-up"].mean == 10


def test_what_is_wrong_with_other_seeds_does_not_matter(write, tmp_path):
    for name, split in (("dau", "old"), ("finetune", "new")):
        write(0, name, split_hash=split)
        write(1, name)
    with pytest.raises(InputError, match="different splits"):
        groups(read([tmp_path]))
    (group,) = groups(read([tmp_path]), [1])
    assert {line.seeds for line in group.cells["dense"].values()} == {(1,)}


def test_other_lists_requests_and_networks_are_other_groups(write, tmp_path):
    def asked(seed=0, name="dau", sha="a", settings=(), **changes):
        folder = write(
            seed, name, scheme="indices", split_hash=f"{sha}{seed}", files={"scheme.file": {"sha256": sha}}, **changes
        )
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
    found = groups(read([tmp_path]))
    schemes = [group.names[2] for group in found if group.names[1] == "convnet"]
    assert len(set(schemes)) == len(schemes) == 4
    assert all("forget.csv" in scheme for scheme in schemes)
    assert {scheme.partition("forget.csv")[2] for scheme in schemes} == {"", " after seed=0-0123abcd", " where user == 17"}
    assert [group.names[1] for group in found if group.names[1] != "convnet"] == [
        "torchvision resnet18",
        "torchvision resnet50",
    ]
    (several,) = [group for group in found if "FT" in group.lines]
    assert {line.seeds for line in several.cells["dense"].values()} == {(0, 1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_hash": "other", "name": "finetune"}, "one seed and different splits"),
        ({"split_hash": "other", "sparsity": "omp95"}, "one seed and different splits"),
        ({}, "are two runs of DAU with seed 0: give one of them"),
        ({"name": "finetune", "rows": {"retrain": {"UA": 1.0}}}, "Retrain with seed 0 has other numbers in"),
        ({"seed": 1, "epochs": 20}, "have recipe.epochs=40 and recipe.epochs=20"),
        ({"seed": 1, "precision": "bf16-mixed"}, "have trainer.precision=32-true and trainer.precision=bf16-mixed"),
        ({"sparsity": "omp95", "epochs": 3}, "have recipe.epochs=40 and recipe.epochs=3"),  # dense beside sparse
        ({"seed": 1}, None),
    ],
)
def test_what_cannot_share_a_table(write, tmp_path, changes, message):
    paths = [write(), write(**changes)]
    if message is None:
        assert names(tmp_path)
        return
    with pytest.raises(InputError, match=message) as caught:
        groups(read([tmp_path]))
    assert "\n" not in str(caught.value)
    assert all(str(path) in str(caught.value) for path in paths)


def test_a_missing_seed_is_named_with_its_cell_and_what_to_do(write, tmp_path):
    for seed in range(3):
        write(seed)
    for seed in range(2):
        write(seed, "finetune", sparsity="omp95")
    message = "Retrain of digits, convnet, random, 95% sparse, misses seed 2: run it, or give --seeds 0,1, which all have"
    with pytest.raises(InputError, match=re.escape(message)):
        groups(read([tmp_path]))
    (group,) = groups(read([tmp_path]), [0, 1])
    assert {line.seeds for lines in group.cells.values() for line in lines.values()} == {(0, 1)}


def test_a_method_without_a_seed_that_others_have(write, tmp_path):
    for seed, name in ((0, "dau"), (1, "dau"), (1, "finetune")):
        write(seed, name)
    with pytest.raises(InputError, match=r"FT of digits, convnet, random, dense, misses seed 0: .* --seeds 1,"):
        groups(read([tmp_path]))
    with pytest.raises(InputError, match=r"misses seed 7"):
        groups(read([tmp_path]), [1, 7])


def test_no_seed_in_common(write, tmp_path):
    write(0, rows={"retrain": {"label": "Retrain"}})
    write(1, "finetune")
    with pytest.raises(InputError, match="give folders with the same seeds"):
        groups(read([tmp_path]))


def test_selection_runs_have_a_table_of_their_own_and_any_seeds(write, tmp_path):
    write(0)
    for seed, lr in ((0, 0.1), (1, 0.1), (0, 0.2)):
        write(seed, lr=lr, selection=True)
    evaluated, selected = groups(read([tmp_path]))
    assert (evaluated.selection, selected.selection) == (False, True)
    assert [line.seeds for line in selected.cells["dense"].values()] == [(0, 1), (0, 1), (0, 1), (0,)]


def test_no_run_with_a_seed(write, tmp_path):
    write(0, selection=True)
    with pytest.raises(InputError, match="--seeds must name seeds of finished runs, got 5"):
        groups(read([tmp_path]), [5])


def test_no_finished_run(write, tmp_path):
    write()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no finished run \(result.json\) in .*empty"):
        read([tmp_path, tmp_path / "empty"])


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is no result of a run"), ('{"seed": 1}', "dataset, network, .* missing")]
)
def test_what_is_no_result(tmp_path, content, message):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read([tmp_path])


def test_a_run_found_twice_counts_once(write, tmp_path):
    path = write()
    assert len(read([tmp_path, path, path.parent])) == 1
    assert json.loads((path / "result.json").read_text())["seed"] == 0


def test_seeds_rewound_to_different_epochs_cannot_share_a_row(write, tmp_path):
    write(sparsity="omp95")
    write(seed=1, sparsity="omp95", rewind_epochs=2)
    with pytest.raises(InputError, match=r"sparsity\.rewind_epochs=8 and sparsity\.rewind_epochs=2"):
        groups(read([tmp_path]))

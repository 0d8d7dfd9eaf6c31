import json
import re

import pytest

from dau_lightning.base.error import InputError
from dau_lightning.report.comparable import lacking_methods, lacking_seeds
from dau_lightning.report.read import read
from dau_lightning.storage.seal import seal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_hash": "other", "name": "finetune"}, "have split_hash=random0 and split_hash=other"),
        ({"split_hash": "other", "sparsity": "omp95"}, "one seed and different splits: make a report of each split"),
        ({}, "two runs of DAU with seed 0: give one of them"),
        (
            {"name": "finetune", "rows": {"retrain": {"UA": 1.0}}},
            "UA=5.0 and UA=1.0 .* two numbers of Retrain with seed 0",
        ),
        ({"seed": 1, "epochs": 20}, "have recipe.epochs=40 and recipe.epochs=20"),
        ({"seed": 1, "precision": "bf16-mixed"}, "have trainer.precision=32-true and trainer.precision=bf16-mixed"),
        ({"sparsity": "omp95", "epochs": 3}, "have recipe.epochs=40 and recipe.epochs=3"),  # dense beside sparse
    ],
)
def test_runs_that_contradict_each_other_are_refused_with_their_folders(write, rows, changes, message):
    folders = [write(), write(**changes)]
    with pytest.raises(InputError, match=message) as caught:
        rows()
    assert "\n" not in str(caught.value)
    assert all(str(folder) in str(caught.value) for folder in folders)


def test_runs_of_other_seeds_share_a_table(write, rows):
    write()
    write(seed=1)  # with a dataset.seed of its own
    assert set(rows().seed) == {0, 1}


def test_seeds_rewound_to_different_epochs_are_refused(write, rows):
    write(sparsity="omp95")
    write(seed=1, sparsity="omp95", rewind_epochs=2)
    with pytest.raises(InputError, match=r"have sparsity\.rewind_epochs=8 and sparsity\.rewind_epochs=2"):
        rows()


def test_a_contradiction_between_other_seeds_does_not_matter(write, rows):
    for name, split in (("dau", "old"), ("finetune", "new")):
        write(0, name, split_hash=split)
        write(1, name)
    with pytest.raises(InputError, match="different splits"):
        rows()
    assert set(rows(seeds=[1]).seed) == {1}


def test_every_row_must_have_the_wanted_seeds(write, rows):
    for seed in range(3):
        write(seed)
    for seed in range(2):
        write(seed, "finetune", sparsity="omp95")
    message = "Retrain of digits, convnet, random, 95% sparse, misses seed 2: run it, or give --seeds 0,1, which all have"
    with pytest.raises(InputError, match=re.escape(message)):
        rows(seeds=[0, 1, 2])
    assert set(rows(seeds=[0, 1]).seed) == {0, 1}
    with pytest.raises(InputError, match="misses seed 7"):
        rows(seeds=[1, 7])


def test_rows_without_a_common_seed(write, rows):
    write(0)
    write(1, "finetune")
    with pytest.raises(InputError, match="give folders with the same seeds"):
        rows(seeds=[0])


def test_rows_that_lack_seeds_are_named(write, rows):
    for seed in range(3):
        write(seed)
    assert lacking_seeds(rows()) == []
    for seed in range(2):
        write(seed, "finetune")
    write(0, "fisher")
    write(0, "influence")
    assert set(lacking_seeds(rows())) == {"FT has 2 of 3 seeds: misses seed 2.", "FF, IU have 1 of 3 seeds: miss seeds 1, 2."}
    for seed in range(2):
        write(seed, sparsity="omp95")
    assert "FT dense, Retrain 95% sparse, Original 95% sparse, DAU 95% sparse have 2 of 3 seeds: miss seed 2." in lacking_seeds(
        rows()
    )


def test_a_method_that_a_scheme_lacks_is_named(write, rows):
    for scheme in ("random", "classwise"):
        write(0, "finetune", scheme=scheme)
    assert lacking_methods(rows()) == []
    write(0)
    write(0, "fisher", network="resnet9")  # another network has methods of its own
    write(0, "influence", selection=True)  # and no table
    assert lacking_methods(rows()) == ["digits, convnet, classwise has no row of DAU, which another scheme has"]


def test_a_search_by_selection_score_may_have_any_seeds(write, rows):
    write(0)
    for seed, lr in ((0, 0.1), (1, 0.1), (0, 0.2)):
        write(seed, method={"lr": lr}, selection=True)
    selected = rows().query("selection == 1").groupby("method").seed.agg(list)
    assert selected.to_dict() == {"Original": [0, 1], "DAU lr=0.1": [0, 1], "DAU lr=0.2": [0]}


def test_no_run_has_a_wanted_seed(write, rows):
    write(0, selection=True)
    with pytest.raises(InputError, match="--seeds must name seeds of finished runs, got 5"):
        rows(seeds=[5])


def test_a_folder_without_a_finished_run(write, tmp_path):
    write()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no finished run \(result.json\) in .*empty"):
        read([tmp_path, tmp_path / "empty"])


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not the result of a run"), ('{"seed": 1}', "dataset, network, .* missing")]
)
def test_a_file_that_is_not_the_result_of_a_run(tmp_path, content, message):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read([tmp_path])


def test_an_edited_result_is_refused(write, tmp_path):
    path = write() / "result.json"
    path.write_text(json.dumps(seal(json.loads(path.read_text()))))
    path.write_text(path.read_text().replace('"seed"', '"sede"'))
    with pytest.raises(InputError, match="its bytes changed"):
        read([tmp_path])

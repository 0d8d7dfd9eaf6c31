"""The real entry point with the real yaml on tiny real data."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dau_lightning.network import convnet
from dau_lightning.run import requirements
from tests.tiny import TINY, results

ROOT = Path(__file__).parents[1]
TINY_DAU = [
    *TINY,
    "baseline.epochs=1",
    "baseline.min_steps=0",
    "baseline.pretraining_steps=3",
    "baseline.retain_batch_size=64",
]
TINY_PAPER = [*TINY_DAU, "baseline=dau_paper", "baseline.sensitivity.copies=1"]
TINY_GAMES = {"dau": TINY_DAU, "dau_paper": TINY_PAPER}
TINY_METHOD = {"dau": TINY_DAU, "finetune": [*TINY, "baseline.epochs=1"], "influence": [*TINY, "baseline.samples=30"]}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def the_result() -> tuple[Path, dict]:
    ((folder, result),) = results().items()
    return folder, result


def stored(kind: str) -> list[Path]:
    return sorted(Path("store").glob(f"{kind}-*.safetensors"))


@pytest.mark.parametrize(
    ("baseline", "logged_parts"),
    [("dau", {"unlearning/adversarial_loss"}), ("dau_paper", {"pretraining/attacker_loss", "unlearning/regulariser"})],
)
def test_a_run_writes_what_the_contract_says(run, baseline, logged_parts):
    printed = run(*TINY_GAMES[baseline])
    folder, result = the_result()
    names = {
        "dataset": "digits",
        "scheme": "random",
        "sparsity": "dense",
        "baseline": baseline,
        "network": "convnet",
        "seed": 0,
    }
    assert {name: result[name] for name in names} == names
    assert len(result["data_hash"]) == len(result["split_hash"]) == 64
    assert result["hardware"]["device"] == "cpu"
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert list(result["rows"]) == ["retrain", "original", baseline]
    for row in result["rows"].values():
        assert all(0 <= row[column] <= 100 for column in ("UA", "MIA", "RA", "TA"))
        assert row["TA_forgotten"] is None
        assert row["MIA"] == row["attacks"]["confidence"]
        assert set(row["attacks"]) == {
            "correctness",
            "confidence",
            "max_confidence",
            "entropy",
            "modified_entropy",
            "probability",
        }
        gaps = {column: abs(row[column] - result["rows"]["retrain"][column]) for column in ("UA", "MIA", "RA", "TA")}
        assert row["gaps"] == pytest.approx(gaps)
        assert row["disparity"] == pytest.approx(sum(gaps.values()) / 4)
        assert row["seconds"] > 0
    attacker = {"balanced_accuracy_pretrained", "balanced_accuracy_final", "mean_output_forget", "mean_output_val"}
    assert attacker <= set(result["rows"][baseline])
    assert folder.parts[:6] == ("runs", "digits", "convnet", "random", "dense", baseline)
    assert folder.name.startswith("seed=0-")
    assert str(folder) in printed
    assert "Retrain" in printed
    assert "trained into" in printed
    convnet(10, 1, 16).load_state_dict(load_file(folder / "unlearned.safetensors"))
    with open(folder / "metrics.csv") as file:
        logged = {name: value for line in csv.DictReader(file) for name, value in line.items() if value}
    for kind, row in result["rows"].items():
        assert float(logged[f"row/{kind}/UA"]) == pytest.approx(row["UA"])
        assert float(logged[f"row/{kind}/attacks/entropy"]) == pytest.approx(row["attacks"]["entropy"])
    assert {"original/loss", "retrain/loss", *logged_parts} <= set(logged)
    assert (folder / "config.yaml").is_file()


@pytest.mark.slow
def test_a_finished_run_is_left_alone_and_an_overwritten_one_is_the_same(run):
    run(*TINY_DAU)
    folder, before = the_result()
    weights = load_file(folder / "unlearned.safetensors")
    stamp = (folder / "result.json").stat().st_mtime_ns
    printed = run(*TINY_DAU)
    assert "finished before" in printed
    assert str(stored("original")[0]) in printed
    assert (folder / "result.json").stat().st_mtime_ns == stamp
    assert not (folder / "report.html").exists()  # figures=false
    printed = run(*TINY_DAU, "overwrite=true")
    assert printed.count("taken from") == 2
    _, after = the_result()
    assert (folder / "result.json").stat().st_mtime_ns > stamp
    again = load_file(folder / "unlearned.safetensors")
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    times = {"seconds": 0, "time_ratio": 0}
    for kind, row in before["rows"].items():
        assert row | times == after["rows"][kind] | times
    os.truncate(folder / "unlearned.safetensors", 100)
    with pytest.raises(SystemExit, match=r"weights are missing or damaged .* overwrite=true") as raised:
        run(*TINY_DAU)
    assert len(str(raised.value).splitlines()) == 1
    run(*TINY_DAU, "overwrite=true")
    assert "finished before" in run(*TINY_DAU)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "rows"),
    [
        ("original", ["retrain", "original"]),
        ("retrain", ["retrain", "original"]),
        ("finetune", ["retrain", "original", "finetune"]),
        ("retrain_again", ["retrain", "original", "retrain_again"]),
        ("gradient_ascent", ["retrain", "original", "gradient_ascent"]),
        ("fisher", ["retrain", "original", "fisher"]),
        ("influence", ["retrain", "original", "influence"]),
    ],
)
def test_baselines_share_table_and_file(run, baseline, rows):
    run(f"baseline={baseline}", "scheme=classwise", "scheme.target=3", *TINY_METHOD.get(baseline, TINY))
    _, result = the_result()
    assert list(result["rows"]) == rows
    assert result["forgotten_classes"] == ["3"]
    assert all(row["TA_forgotten"] is not None for row in result["rows"].values())
    assert result["rows"]["retrain"]["UA"] == 100  # a network that never saw a class cannot name it
    assert all(row["seconds"] > 0 for row in result["rows"].values())


@pytest.mark.slow
def test_a_sweep_shares_originals_and_keeps_folders_apart(run):
    sweep = ["-m", "seed=0,1", "scheme=random,classwise", "baseline=finetune", "baseline.lr=0.1,0.2", *TINY_METHOD["finetune"]]
    run(*sweep)
    assert len(results()) == 8
    assert len(stored("original")) == 2
    assert len(stored("retrain")) == 4
    stamps = {folder: (folder / "result.json").stat().st_mtime_ns for folder in results()}
    assert run(*sweep).count("finished before;") == 8
    assert stamps == {folder: (folder / "result.json").stat().st_mtime_ns for folder in results()}
    hashes = {(result["seed"], result["scheme"]): (result["data_hash"], result["split_hash"]) for result in results().values()}
    assert hashes[0, "random"][0] == hashes[0, "classwise"][0] != hashes[1, "random"][0]
    assert hashes[0, "random"][1] != hashes[0, "classwise"][1]


def test_without_a_reference_there_is_no_disparity(run):
    run("baseline=finetune", "reference=off", *TINY_METHOD["finetune"])
    _, result = the_result()
    assert list(result["rows"]) == ["original", "finetune"]
    assert "disparity" not in result["rows"]["finetune"]
    assert not stored("retrain")


@pytest.mark.slow
def test_a_cached_reference_is_never_trained(run):
    with pytest.raises(SystemExit, match="reference=cached needs a Retrain"):
        run("baseline=finetune", "reference=cached", *TINY_METHOD["finetune"])
    assert not results()
    assert not stored("original")
    run("baseline=retrain", *TINY)
    run("baseline=finetune", "reference=cached", *TINY_METHOD["finetune"])
    assert len(results()) == 2


def test_an_attacker_that_the_memory_cannot_hold_is_refused_before_anything_starts(run, monkeypatch):
    monkeypatch.setattr(requirements, "total_memory", lambda device: 2**20)
    with pytest.raises(SystemExit, match="for 10 classes and 128 images a step, and there are 0 GiB; use baseline=dau"):
        run(*TINY_PAPER)
    assert not stored("original")
    run(*TINY_DAU)


def test_a_selection_run_needs_neither_retrain_nor_test_data(run):
    run("selection=true", *TINY_DAU)
    _, result = the_result()
    assert list(result["rows"]) == ["original", "dau"]
    row = result["rows"]["dau"]
    assert row["score"] == pytest.approx(sum(row[f"score_{term}"] for term in ("UA", "MIA", "AUC", "RA", "judge")) / 5)
    assert "TA" not in row
    assert not stored("retrain")


def make_folder(root: Path, count: int, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "test"):
        for label, colour in (("blue cat", 40), ("röd hund", 200)):
            folder = root / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(colour - 40, colour + 40, (size, size + 3, 3), generator=generator, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{index}.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "weight", "shape"), [("resnet18", "conv1.weight", (64, 3, 3, 3)), ("resnet9", "0.0.weight", (16, 1, 3, 3))]
)
def test_own_images_in_colour_and_grey(run, network, weight, shape):
    make_folder(Path("own"), count=12, size=40)
    small = [
        "recipe.epochs=1",
        "figures=false",
        "dynamics=0",
        "recipe.batch_size=8",
        "baseline.epochs=1",
        "baseline.min_steps=0",
        "baseline.retain_batch_size=8",
        "baseline.pretraining_steps=1",
        "baseline.pretraining_batch_size=4",
        "baseline.forget_batch_size=4",
        "baseline.val_batch_size=4",
        "reference=off",
        "wandb.mode=disabled",
    ]
    own = ["dataset=imagefolder", "dataset.root=own", f"network={network}", f"dataset.channels={shape[1]}", *small]
    with pytest.raises(SystemExit, match=rf"one number for each of the {shape[1]} channels of the images, got \[0.5, 0.4\]"):
        run(*own, "transform.mean=[0.5,0.4]")
    run(*own)
    folder, result = the_result()
    assert (result["network"], result["counts"]["train"], result["counts"]["val"]) == (network, 22, 2)
    before, after = load_file(stored("original")[0]), load_file(folder / "unlearned.safetensors")
    assert after[weight].shape == shape
    assert not torch.equal(before[weight], after[weight])
    assert f"float `(B, {shape[1]}, 32, 32)`" in (folder / "model_card.md").read_text()


@pytest.mark.slow
def test_a_single_image_may_be_forgotten(run):
    run(*TINY_DAU, "scheme.fraction=0.001")
    _, result = the_result()
    assert result["counts"]["forget"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scheme=classwise", "scheme.target=eleven"], "scheme.target must.*eleven"),
        (["scheme=classwise", "scheme.target=10"], r"scheme.target must.*\[0, 9\].*10"),
        (["scheme.fraction=0.999"], "scheme.fraction must leave every class"),
        (["dataset=imagefolder", "dataset.root=nowhere"], "dataset.root.*nowhere"),
        (["trainer.accelerator=gpu"], "trainer.accelerator=gpu cannot be used here"),
        (["metric=[entropy]"], "metric must include confidence"),
        (["baseline=dau_paper", "baseline.forget_batch_size=3"], "baseline.forget_batch_size"),
        (["transform.mean=[0.5,0.5,0.5]"], "transform.mean"),
    ],
)
def test_input_that_only_a_run_can_judge_is_refused_in_one_line_and_writes_nothing(run, arguments, message):
    if "trainer.accelerator=gpu" in arguments and torch.cuda.is_available():
        return
    tiny = [setting for setting in TINY_DAU if not setting.startswith(("trainer.acc", "dataset.t"))]
    with pytest.raises(SystemExit, match=message) as raised:
        run(*tiny, *arguments)
    assert "\n" not in str(raised.value)
    assert not results()
    assert not stored("original")


@pytest.mark.parametrize(
    ("arguments", "phase"),
    [(["recipe.lr=1e30"], "Retrain"), (["baseline.lr=1e30"], "DAU"), (["baseline.attacker_lr=1e30"], "attacker|DAU")],
)
def test_a_loss_that_is_not_finite_stops_the_run(run, arguments, phase):
    with pytest.raises(SystemExit, match=f"error: ({phase}).*the loss is (nan|inf|-inf) at step \\d+"):
        run(*TINY_PAPER, "baseline.epochs=4", *arguments)
    assert not results()


def test_no_damping_with_a_singular_fisher_matrix_is_told_before_anything_runs(run):
    with pytest.raises(SystemExit, match=r"error: baseline\.damping must be above 0, since the Fisher matrix") as raised:
        run("baseline=influence", "baseline.damping=0", *TINY)
    assert "\n" not in str(raised.value)
    assert not results()
    assert not stored("original")
    assert not [path for path in Path("runs").rglob("*") if path.is_file()]


def test_a_mistake_leaves_the_finished_run_that_it_would_overwrite(run):
    arguments = ["baseline=finetune", "reference=off", *TINY_METHOD["finetune"]]
    run(*arguments)
    folder, result = the_result()
    with pytest.raises(SystemExit, match="metric must include confidence"):
        run(*arguments, "metric=[entropy]", "overwrite=true", f"hydra.run.dir='{folder}'")
    assert the_result() == (folder, result)


@pytest.mark.slow
def test_a_run_without_account_or_network_is_offline(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    online = [setting for setting in TINY if not setting.startswith("wandb")]
    command = [sys.executable, ROOT / "train.py", "baseline=original", *online]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    folder, _ = the_result()
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))


def test_weights_that_the_last_step_broke_stop_the_run(run):
    with pytest.raises(SystemExit, match="error: FT: its outputs on the retain set are not finite"):
        run("baseline=finetune", "baseline.lr=1e30", "baseline.epochs=1", *TINY, "baseline.batch_size=200")
    assert not results()


@pytest.mark.parametrize("batch", ["recipe.batch_size=1", "baseline.retain_batch_size=1"])
def test_a_batch_of_one_that_batch_norm_refuses_is_told_before_any_training(run, batch):
    small = ["dataset.train_limit=100", "network=resnet9", "network.width=2", "reference=off", "wandb.mode=disabled", batch]
    with pytest.raises(SystemExit, match="error: network Sequential cannot be trained on a batch of one image"):
        run(*small)
    assert not stored("original")


def test_a_store_that_cannot_be_written(run):
    Path("file").write_text("")
    with pytest.raises(SystemExit, match=r"store\.root must be a folder that can be written"):
        run("store.root=file/store", *TINY_DAU)


@pytest.mark.slow
def test_a_refused_run_leaves_a_finished_one_as_it_is(run):
    make_folder(Path("own"), count=12, size=8)
    small = [
        "dataset=imagefolder",
        "dataset.image_size=8",
        "network=convnet",
        "recipe.epochs=1",
        "baseline=original",
        "wandb.mode=disabled",
    ]
    run(*small, "dataset.root=own")
    folder, _ = the_result()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    make_folder(Path("other"), count=12, size=8)
    with pytest.raises(SystemExit, match=r"images in dataset\.root="):
        run(*small, "dataset.root=other")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_another_choice_for_every_part_of_the_game(run):
    parts = "attacker=several", "objective=wasserstein", "regulariser=contrastive", "projector=mlp", "term=gradient_ascent"
    run(*TINY_PAPER, "reference=off", *(f"baseline/{part}" for part in parts), "baseline.pairing=class")
    folder, result = the_result()
    settings = result["settings"]["baseline"]
    assert settings["penalty"]["_target_"] == "dau_lightning.game.penalty.interpolated"
    assert list(settings["attacker"]["attackers"]) == ["transformer", "statistics"]
    assert result["rows"]["dau_paper"]["UA"] >= 0
    convnet(10, 1, 16).load_state_dict(load_file(folder / "unlearned.safetensors"))  # the projector is not in it
    with open(folder / "metrics.csv") as file:
        logged = {name for line in csv.DictReader(file) for name, value in line.items() if value}
    assert {"unlearning/gradient_ascent", "unlearning/regulariser", "unlearning/adversarial_loss"} <= logged


def test_pairs_of_a_class_without_validation_images_are_refused_before_any_training(run):
    with pytest.raises(SystemExit, match=r"error: baseline\.pairing=class needs a val image of every class in the forget set"):
        run(*TINY_DAU, "dataset.train_limit=40", "baseline.pairing=class", "baseline.visits_per_step=null")
    assert stored("original") == []

"""Jobs of a sweep that are killed or never end, and runs on two devices, by the real command."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dau_lightning.storage.seal import tensors_digest

ROOT = Path(__file__).parents[2]

MINE = """
import os, signal, time
from torch import nn

def fine(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))

def killed(num_classes, in_channels):
    os.kill(os.getpid(), signal.SIGKILL)

def endless(num_classes, in_channels):
    time.sleep(1000)
"""


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{folder}", "WANDB_MODE": "offline"}
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def rows(folder: Path) -> dict[str, dict[str, float]]:
    (path,) = folder.rglob("result.json")
    return json.loads(path.read_text())["rows"]


def test_a_killed_and_an_endless_job_leave_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    networks = "network._target_=mine.killed,mine.endless,mine.fine"
    short = (
        "recipe.epochs=1",
        "baseline=finetune",
        "baseline.epochs=1",
        "reference=off",
        "dataset=digits",
        "wandb.mode=disabled",
    )
    launcher = "hydra/launcher=cores", "hydra.launcher.n_jobs=2", "hydra.launcher.minutes=0.6"
    done = call(tmp_path, "-m", "network=own", networks, *short, *launcher)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "job 1 was ended from outside (exit code -9)" in done.stderr
    assert "job 2 ran out of time (0.6 minutes)" in done.stderr
    assert done.stdout.endswith("3 jobs: 2 broken off, 1 finished\n")
    assert "broken off: network._target_=mine.killed; its folder is" in done.stderr
    again = call(tmp_path, "-m", "network=own", "network._target_=mine.fine", *short, *launcher)
    assert again.stdout.endswith("1 jobs: 1 finished before\n")


@pytest.mark.long
def test_side_by_side_gives_the_same_numbers(tmp_path: Path) -> None:
    method = "baseline=finetune", "baseline.epochs=1", "baseline.batch_size=200", "baseline.lr=0.1,0.05,1e30"
    short = "recipe.epochs=1", "recipe.batch_size=200", "figures=false", "dynamics=0", "dataset=digits", "wandb.mode=disabled"
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for name, launcher in (("basic", ()), ("cores", ("hydra/launcher=cores", "hydra.launcher.n_jobs=2"))):
        (tmp_path / name).mkdir()
        done = call(tmp_path / name, "-m", *method, *short, *launcher)
        assert done.returncode == 1, done.stderr
        assert done.stdout.endswith("3 jobs: 1 failed, 2 finished\n")
        for path in (tmp_path / name).rglob("result.json"):
            rows = json.loads(path.read_text())["rows"].values()
            found[name, path.parent.name] = [{**row, "seconds": 0, "time_ratio": 0} for row in rows]
    folders = {folder for _, folder in found}
    assert len(folders) == 2
    assert all(found["basic", folder] == found["cores", folder] for folder in folders)
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("job "))
    number = r"\d+\.\d\d"
    row = rf": finished, UA {number}, MIA {number}, RA {number}, TA {number}, disparity {number}"
    patterns = (
        rf"job 1 of 3, baseline.lr=0.1{row}",
        rf"job 2 of 3, baseline.lr=0.05{row}",
        r"job 3 of 3, baseline.lr=1e\+30: failed",
    )
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines, strict=True))
    (failed,) = done.stderr.splitlines()
    assert failed.startswith("failed: baseline.lr=1e+30: FT: the loss is nan")
    assert "error: FT: the loss is nan" in Path(failed.split("its folder is ")[1], "output.txt").read_text()


@pytest.mark.long
def test_two_devices_on_digits(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    short = (
        "recipe.epochs=20",
        "baseline.pretraining_steps=50",
        "dataset=digits",
        "wandb.mode=disabled",
        "trainer.accelerator=cpu",
        "figures=false",
    )
    one = call(tmp_path / "one", *short)
    two = call(tmp_path / "two", *short, "trainer.devices=2")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert "measured on 2 x cpu" in two.stdout
    assert two.stdout.count("request: ") == 1
    single, double = rows(tmp_path / "one"), rows(tmp_path / "two")
    for name, row in single.items():
        for column in ("RA", "TA"):
            assert abs(row[column] - double[name][column]) <= 1.0, (name, column)
    log = next((tmp_path / "two").rglob("metrics.csv")).read_text()
    assert len(log.splitlines()) == len(next((tmp_path / "one").rglob("metrics.csv")).read_text().splitlines())


@pytest.mark.long
def test_two_devices_whose_leader_is_killed_end_and_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    short = (
        "recipe.epochs=10",
        "baseline.pretraining_steps=50",
        "dataset=digits",
        "wandb.mode=disabled",
        "trainer.accelerator=cpu",
        "figures=false",
    )
    arguments = *short, "trainer.devices=2", "checkpoint.seconds=0.3"
    found = {}
    for name in ("calm", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "killed":
            command = [sys.executable, str(ROOT / "train.py"), *arguments]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            for sign in ("runs/**/config.yaml", "store/original-*.lock"):  # as the devices start, and in the second training
                leader = subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                deadline = time.monotonic() + 60
                while not list(folder.glob(sign)) and time.monotonic() < deadline:
                    time.sleep(0.05)
                started = children(leader.pid)
                leader.kill()
                leader.wait()
                assert started
                deadline = time.monotonic() + 60  # a process that still imports torch sees it only later
                while any(runs(pid) for pid in started) and time.monotonic() < deadline:
                    time.sleep(0.1)
                assert not any(runs(pid) for pid in started)
        done = call(folder, *arguments)
        assert done.returncode == 0, done.stderr
        found[name] = {path.name: tensors_digest(load_file(path)) for path in folder.rglob("*.safetensors")}
    assert len(found["calm"]) == 3
    assert found["calm"] == found["killed"]


def runs(pid: int) -> bool:
    """Whether a process is there, and not only waits for someone to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_what_devices_cannot_share_is_one_line(tmp_path: Path) -> None:
    short = "dataset=digits", "wandb.mode=disabled", "trainer.accelerator=cpu", "trainer.devices=2"
    for settings, words in (
        (("baseline=fisher",), "a method of one pass over the images needs trainer.devices=1, got 2"),
        (
            ("baseline.forget_batch_size=31", "baseline.val_batch_size=31"),
            "the forget batch size must be a multiple of trainer.dev",
        ),
        (("recipe.batch_size=33",), "the retain batch size must be a multiple of trainer.devices=2, got 33"),
    ):
        done = call(tmp_path, *short, *settings)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
        assert not (tmp_path / "store").exists() or not list((tmp_path / "store").glob("*.safetensors"))


def test_a_killed_sweep_takes_its_jobs_along(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    arguments = (
        "-m",
        "network=own",
        "network._target_=mine.endless",
        "seed=0,1",
        "reference=off",
        "dataset=digits",
        "wandb.mode=disabled",
    )
    command = [sys.executable, str(ROOT / "train.py"), *arguments, "hydra/launcher=cores"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    sweep = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline, jobs = time.monotonic() + 60, list[int]()
    while len(jobs) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        servers = [pid for pid in descendants(sweep.pid) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        jobs = children(servers[0]) if servers else []
    assert len(jobs) == 2
    time.sleep(2)  # in which they begin
    sweep.kill()
    sweep.wait()
    time.sleep(2)
    assert not any(runs(pid) for pid in jobs)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and theirs."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def test_of_two_that_want_one_run_the_second_waits_and_changes_nothing(tmp_path: Path) -> None:
    arguments = "baseline=finetune", "recipe.epochs=5", "dataset=digits", "wandb.mode=disabled", "trainer.accelerator=cpu"
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) for _ in range(2)]
    first, second = sorted(
        (process.communicate(timeout=120) for process in both), key=lambda said: "finished before" in said[0]
    )
    assert [process.returncode for process in both] == [0, 0]
    assert first[0].count("trained into") == 3
    assert second[1].startswith("waiting for another process, which works in ")
    assert "finished before" in second[0]
    assert "trained into" not in second[0]


def test_a_device_that_is_killed_ends_the_others(tmp_path: Path) -> None:
    arguments = (
        "recipe.epochs=10",
        "dataset=digits",
        "wandb.mode=disabled",
        "trainer.accelerator=cpu",
        "trainer.devices=2",
        "checkpoint.seconds=0.3",
    )
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    leader = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("store/retrain-*.checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in children(leader.pid):
        os.kill(pid, 9)
    _, said = leader.communicate(timeout=60)
    assert leader.returncode == 1
    assert said.endswith("may tell why, and the same command goes on\n")
    assert "Traceback" not in said


@pytest.mark.long
def test_every_seed_of_digits_fits_what_it_was_trained_on(tmp_path: Path) -> None:
    done = call(
        tmp_path,
        "-m",
        "seed=0,1,2,3,4",
        "baseline=original",
        "figures=false",
        "dataset=digits",
        "wandb.mode=disabled",
        "hydra/launcher=cores",
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text())["rows"] for path in tmp_path.rglob("result.json")]
    assert len(found) == 5
    assert min(row["RA"] for each in found for row in each.values()) >= 99.8

"""Sweeps by the real entry point: what is printed, what fails, what is skipped, and jobs side by side."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.conf import HydraConf
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from dau_lightning.base.error import InputError
from dau_lightning.run import command_line
from dau_lightning.run.command_line import main
from dau_lightning.run.composition import composing
from dau_lightning.run.sweep import Sweep
from tests.tiny import TINY, results
from tests.world import leave_result

pytestmark = pytest.mark.slow

TRAIN = Path(__file__).parents[2] / "train.py"
ROW = {"UA": 1.0, "MIA": 2.0, "RA": 99.0, "TA": 98.5, "disparity": 0.5}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sweep(monkeypatch, capfd):
    """Call the command line in this process; gives exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *arguments])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def no_training(monkeypatch):
    """Runs that are over at once: seed 1 is a user's mistake, seed 2 a defect, the others are fine."""

    def run(config: DictConfig, job: HydraConf) -> None:
        folder = Path(job.runtime.output_dir)
        if (folder / "result.json").is_file():
            return
        if config.seed == 1:
            raise InputError("seed must not be 1")
        if config.seed == 2:
            raise ZeroDivisionError("of seed 2")
        leave_result(
            folder,
            {
                "settings": {},
                "selection": False,
                "baseline": job.runtime.choices["baseline"],
                "rows": {job.runtime.choices["baseline"]: ROW},
            },
        )

    monkeypatch.setattr(command_line, "run", run)


@pytest.mark.usefixtures("no_training")
def test_failed_jobs_are_named_and_the_rest_finished(sweep):
    code, out, err = sweep("seed=0,1,2,3", "baseline=finetune")
    assert code == 1
    assert out.rstrip().endswith("4 jobs: 2 failed, 2 finished")
    assert "job 2 of 4, seed=1: failed" in out.splitlines()
    assert len(list(Path("runs").rglob("result.json"))) == 2
    last = err.rstrip().splitlines()[-2:]
    assert re.fullmatch(r"failed: seed=1: seed must not be 1; its folder is /.*/finetune/seed=1-[0-9a-f]{8}", last[0])
    assert re.fullmatch(r"failed: seed=2: ZeroDivisionError: of seed 2; its folder is /.*", last[1])
    assert (out + err).count("seed must not be 1") == 1
    assert err.count("Traceback") == 1  # a defect's, none for a mistake
    assert not list(Path("runs").glob(".sweep-*"))


@pytest.mark.usefixtures("no_training")
def test_a_second_call_skips_what_is_finished(sweep):
    started = "2 jobs, into runs\n\njob 1 of 2, seed=0\n\njob 2 of 2, seed=3\n\n"
    states = "finished        seed=0\nfinished        seed=3\n2 jobs: 2 finished\n"
    assert sweep("seed=0,3")[:2] == (0, started + states)
    states = "finished before seed=0\nfinished before seed=3\nfinished        seed=4\n"
    assert sweep("seed=0,3,4")[1].endswith(f"\n{states}3 jobs: 1 finished, 2 finished before\n")
    assert sweep("seed=0,3", "overwrite=true")[1].endswith("\n2 jobs: 2 finished\n")


def test_a_sweep_that_breaks_off_says_what_is_open(tmp_path, capsys):
    hydra = {"sweep": {"dir": str(tmp_path)}, "sweeper": {"params": None}, "overrides": {"task": ["seed=0,1,2"]}}
    hydra |= {"job": {"num": 1}, "runtime": {"output_dir": str(tmp_path)}, "launcher": {"_target_": "x.BasicLauncher"}}
    config = OmegaConf.create({"hydra": hydra, "overwrite": False})
    callback = Sweep()
    with composing():
        callback.on_multirun_start(config)
    callback.on_job_start(config)
    with pytest.raises(SystemExit):
        callback.on_multirun_end(config)
    out, err = capsys.readouterr()
    states = "not started     seed=0\nbroken off      seed=1\nnot started     seed=2\n"
    assert out.endswith(f"{states}3 jobs: 1 broken off, 2 not started\n")
    assert err == f"broken off: seed=1; its folder is {tmp_path}\n"


def test_the_line_of_a_job_is_one_write(tmp_path, monkeypatch):
    folder = tmp_path / "seed=0"
    folder.mkdir()
    hydra = {"sweep": {"dir": str(tmp_path)}, "sweeper": {"params": None}, "overrides": {"task": ["seed=0"]}}
    hydra |= {"job": {"num": 0}, "runtime": {"output_dir": str(folder)}, "launcher": {"_target_": "x.Cores"}}
    config = OmegaConf.create({"hydra": hydra, "overwrite": False, "preview": True})
    callback = Sweep()
    with composing():
        callback.on_multirun_start(config)
    written = []
    monkeypatch.setattr(sys.stdout, "write", written.append)
    callback.on_job_start(config)
    callback.on_job_end(config, JobReturn(_return_value=None, status=JobStatus.COMPLETED))
    assert [text for text in written if text] == ["job 1 of 1, seed=0: finished\n"]
    callback.on_multirun_end(config)


def test_jobs_side_by_side_have_a_process_and_a_file_each(monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # every piece of a line would be a write of its own
    given = ["-m", "seed=0,1", "hydra/launcher=cores", "baseline=original", "reference=off", *TINY]
    # In a process of its own: jobs print where the first fork server of a process printed, which another test may have started.
    done = subprocess.run([sys.executable, TRAIN, *given], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    row = r": finished, UA \d+\.\d\d, MIA \d+\.\d\d, RA \d+\.\d\d, TA \d+\.\d\d"
    assert len(re.findall(rf"^job [12] of 2, seed=[01]{row}$", out, re.MULTILINE)) == 2
    assert out.endswith("\nfinished        seed=0\nfinished        seed=1\n2 jobs: 2 finished\n")
    assert ["trained into" in (folder / "output.txt").read_text() for folder in results()] == [True, True]

"""With a stand-in for submitit; `make test-slurm` audits on a real Slurm."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dau_lightning.audit import on_slurm as module
from dau_lightning.audit.on_slurm import on_slurm
from dau_lightning.base.error import InputError, TrainingError


class Ended(Exception):
    """As submitit's UncompletedJobError."""


class Executor:
    """Runs the jobs in this process."""

    given: dict

    def __init__(self, folder, cluster):
        assert cluster == "slurm"

    def update_parameters(self, **given):
        if "typo" in given:
            raise NameError("Unknown argument 'typo'")
        type(self).given = given

    def map_array(self, work, items):
        return [SimpleNamespace(result=lambda item=item: work(item), paths=SimpleNamespace(stderr="job.err")) for item in items]


@pytest.fixture(autouse=True)
def submitit(monkeypatch):
    utils = SimpleNamespace(UncompletedJobError=Ended)
    made = SimpleNamespace(AutoExecutor=Executor, core=SimpleNamespace(utils=utils))
    monkeypatch.setattr(module, "import_module", lambda name: made)


def audited(folder: Path) -> bool:
    print(f"audit of {folder}")
    if folder.name == "ended":
        raise Ended
    return folder.name == "good"


def test_each_run_is_a_job_with_the_given_parameters():
    found = list(on_slurm([Path("good"), Path("bad")], audited, 3, {"partition": "gpu", "mem_gb": 8}))
    assert found == [("audit of good\n", True), ("audit of bad\n", False)]
    assert Executor.given["slurm_partition"] == "gpu"
    assert (Executor.given["mem_gb"], Executor.given["slurm_array_parallelism"]) == (8, 3)


def test_what_slurm_cannot_do_is_one_line(monkeypatch):
    with pytest.raises(InputError, match="Slurm cannot be used: Unknown argument 'typo'"):
        list(on_slurm([Path("good")], audited, 1, {"typo": 1}))
    with pytest.raises(TrainingError, match=r"Slurm ended an audit: the same command goes on; job\.err says why"):
        list(on_slurm([Path("ended")], audited, 1, {}))

    def missing(name):
        raise ImportError

    monkeypatch.setattr(module, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'dau-lightning\[slurm\]'"):
        list(on_slurm([Path("good")], audited, 1, {}))

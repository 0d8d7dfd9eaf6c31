"""Audits several runs as the jobs of one Slurm array, each run in a job of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from cloudpickle import dumps

from dau_lightning.audit.side_by_side import printed
from dau_lightning.base.error import InputError, TrainingError

FOLDER = Path("runs", ".submitit", "audit")  # what submitit keeps of the jobs
PARAMETERS = {"timeout_min": 1440, "cpus_per_task": 1, "name": "dau-lightning-audit"}
SLURM_ONLY = {"partition", "account", "qos", "constraint"}  # submitit wants the name of the cluster before these


def on_slurm(folders: Sequence[Path], audited: Callable[[Path], bool], jobs: int, given: Mapping[str, Any]) -> Iterator[Any]:
    """Audit runs on a Slurm cluster; yields, run by run, what the audit printed and whether the run could be audited.

    Args:
        folders: the run folders, on a disk that all nodes see.
        audited: audits the run of a folder.
        jobs: how many jobs run at a time.
        given: parameters of the jobs, such as `partition` or `timeout_min`.

    Raises:
        InputError: submitit is not installed, or there is no such parameter.
        TrainingError: Slurm ended a job.
    """
    try:
        submitit: Any = import_module("submitit")
    except ImportError as error:
        raise InputError("slurm needs the extra slurm: pip install 'dau-lightning[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(FOLDER, cluster="slurm")
        own = {f"slurm_{name}" if name in SLURM_ONLY else name: value for name, value in (PARAMETERS | dict(given)).items()}
        setup = ["export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK"]
        executor.update_parameters(slurm_array_parallelism=jobs, slurm_setup=setup, **own)
    except (RuntimeError, NameError, TypeError) as error:
        raise InputError(f"Slurm cannot be used: {error}") from error
    for task in executor.map_array(partial(printed, dumps(audited)), folders):
        try:
            yield task.result()
        except submitit.core.utils.UncompletedJobError as error:
            raise TrainingError(f"Slurm ended an audit: the same command goes on; {task.paths.stderr} says why") from error

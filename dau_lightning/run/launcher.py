"""Runs the jobs of a sweep in parallel on one machine, each in a process, so that a killed or slow job harms no other."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from types import ModuleType

from cloudpickle import dumps, loads
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from dau_lightning.base.child_process import end_with_parent

PLUGIN = "hydra_plugins.dau_lightning"  # Hydra accepts launchers from the package hydra_plugins alone


def register() -> None:
    """Register `Cores`, so that a yaml file can name it; only a command does this, since it changes Hydra globally."""
    plugins = Plugins.instance()  # this imports hydra_plugins, if any plugin is installed
    sys.modules.setdefault(PLUGIN.split(".")[0], ModuleType(PLUGIN.split(".")[0]))
    sys.modules[PLUGIN] = sys.modules[__name__]  # Hydra imports a launcher by its name, even a registered one
    plugins.register(Cores)


class Cores(Launcher):
    """A launcher that keeps as many jobs running as there are cores: whenever one ends, it starts the next.

    Processes are forked from one that has imported torch, so that no job imports it again.

    Args:
        n_jobs: number of jobs that run at a time; -1 for as many as there are cores.
        minutes: minutes after which a job is killed; None for never.
    """

    __module__ = PLUGIN

    def __init__(self, n_jobs: int, minutes: float | None) -> None:
        self.n_jobs = os.cpu_count() or 1 if n_jobs == -1 else n_jobs
        self.minutes = minutes
        self.processes = get_context("forkserver")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need; called by Hydra."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; called by Hydra."""
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.n_jobs)))  # the jobs share the cores
        self.processes.set_forkserver_preload(["dau_lightning.run.experiment"])
        with ThreadPoolExecutor(self.n_jobs) as threads:
            return list(threads.map(self._run, range(initial_job_idx, initial_job_idx + len(job_overrides)), job_overrides))

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        """Run one job in a process. `Sweep` records its outcome, or only its start if the job is killed."""
        job = number, list(overrides), self.hydra_context, self.config, self.task_function, Singleton.get_state()
        process = self.processes.Process(target=_job, args=(dumps(job),))
        process.start()
        process.join(self.minutes and 60 * self.minutes)
        if process.is_alive():
            print(f"job {number + 1} ran out of time ({self.minutes:g} minutes)", file=sys.stderr)
            process.kill()
            process.join()
        elif process.exitcode:
            print(f"job {number + 1} was ended from outside (exit code {process.exitcode})", file=sys.stderr)
        return JobReturn(status=JobStatus.COMPLETED)


def _job(pickled: bytes) -> None:
    """Run one job like Hydra's own launcher."""
    end_with_parent()  # a job of a killed sweep would run beside those of the next one
    number, overrides, context, config, task, state = loads(pickled)
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = composed.hydra.job.num = number
    run_job(
        hydra_context=context,
        config=composed,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )

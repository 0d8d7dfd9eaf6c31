"""A sweep's jobs side by side on one machine, a process each: one that is killed or runs out of time harms no other."""

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cloudpickle import dumps, loads
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class Cores(Launcher):
    """Starts as many jobs as there are cores, and another whenever one ends.

    Processes are forked from one that has done nothing but import, so that a job does not import torch once more.

    Args:
        n_jobs: at a time; -1 for as many as there are cores.
        minutes: after which a job is ended; None for never.
    """

    def __init__(self, n_jobs: int, minutes: float | None) -> None:
        self.n_jobs = os.cpu_count() or 1 if n_jobs == -1 else n_jobs
        self.minutes = minutes
        self.processes = get_context("forkserver")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.n_jobs)))  # the jobs share the cores
        self.processes.set_forkserver_preload(["dau_lightning.run.experiment"])
        with ThreadPoolExecutor(self.n_jobs) as threads:
            return list(threads.map(self._run, range(initial_job_idx, initial_job_idx + len(job_overrides)), job_overrides))

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        """Run a job in its process; what became of it the sweep's callback notes, and of one that was ended that it began."""
        job = partial(_job, number, list(overrides), self.hydra_context, self.config, self.task_function, Singleton.get_state())
        receiver, sender = self.processes.Pipe()
        process = self.processes.Process(target=_answer, args=(sender, dumps(job)))
        process.start()
        sender.close()
        try:
            if receiver.poll(None if self.minutes is None else 60 * self.minutes):
                receiver.recv()
            else:
                print(f"job {number + 1} ran out of time ({self.minutes:g} minutes)", file=sys.stderr)
        except EOFError:
            process.join()
            print(f"job {number + 1} was ended from outside (exit code {process.exitcode})", file=sys.stderr)
        finally:
            process.kill()
            process.join()
        returned = JobReturn()  # without its configuration, which nobody asks for
        returned.status = JobStatus.COMPLETED
        return returned


def _answer(sender: Connection, job: bytes) -> None:
    threading.Thread(target=_end_with, args=(sender,), daemon=True).start()
    loads(job)()
    sender.send("done")


def _end_with(sweep: Connection) -> None:
    """A sweep that was killed sends no word, and its jobs would go on beside those of the next."""
    try:
        sweep.recv()
    except EOFError:
        os._exit(1)


def _job(
    number: int, overrides: list[str], context: HydraContext, config: DictConfig, task: TaskFunction, state: dict[Any, Any]
) -> JobReturn:
    """What Hydra's own launcher does for one job."""
    setup_globals()
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=context,
        config=composed,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )

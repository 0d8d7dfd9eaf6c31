"""Reports on a sweep, with any launcher: a line for each job, the reason of each failure, a summary at the end."""

import atexit
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from dau_lightning.base.error import expected, line
from dau_lightning.metric.disparity import COMPARED
from dau_lightning.run.composition import parsed, values
from dau_lightning.storage.atomic import write_text
from dau_lightning.storage.run_folder import read_result


class Sweep(Callback):
    """Hydra calls this before and after a sweep and, in the jobs' processes, each job; it does nothing in a single run.

    Jobs get copies of this object, so each job writes its outcome to a file in a folder that all processes share. Output of
    jobs that run in parallel goes into `output.txt` in their run folders.
    """

    jobs: tuple[str, ...] = ()  # the names of the jobs; empty in a single run

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Record the names of the jobs."""
        self.jobs = names(config)
        os.makedirs(config.hydra.sweep.dir, exist_ok=True)
        self.notes = Path(tempfile.mkdtemp(prefix=".sweep-", dir=config.hydra.sweep.dir)).resolve()
        atexit.register(self._summarise)  # also if ^C or a killed process ends the sweep early
        print(f"{len(self.jobs)} jobs, into {config.hydra.sweep.dir}", flush=True)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Redirect a job's output into its folder, if jobs run in parallel."""
        if not self.jobs:
            return
        folder = Path(config.hydra.runtime.output_dir)
        self.skipped = read_result(folder) is not None and not config.overwrite and not config.preview
        self.aside = not config.hydra.launcher._target_.endswith(".BasicLauncher")
        self._note(config, "broken off")
        self.output = ExitStack()
        if self.aside:
            path = os.devnull if self.skipped else folder / "output.txt"
            file = self.output.enter_context(open(path, "w", buffering=1))  # noqa: SIM115, the stack closes it
            self.output.enter_context(redirect_stdout(file))
            self.output.enter_context(redirect_stderr(file))
        else:
            print(f"\n{self._title(config)}", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Write the outcome of a job to its file, and print it in one line."""
        if not self.jobs:
            return
        outcome, reason, failure = "finished before" if self.skipped else "finished", "", job_return.return_value
        if failure:
            mistake = expected(failure)
            outcome, reason = "failed", line(failure) if mistake else f"{type(failure).__name__}: {line(failure)}"
            if not mistake:
                traceback.print_exception(failure)
            elif self.aside:
                print(f"error: {reason}", file=sys.stderr)
            job_return.return_value = None  # not every error can be pickled for the sweep's process
        self.output.close()
        self._note(config, outcome, reason)
        if self.aside or failure:
            row = "" if failure or config.preview else _row(read_result(Path(config.hydra.runtime.output_dir)) or {})
            # One write with its line break: jobs that run in parallel write into the same terminal.
            print(f"{self._title(config)}: {outcome}{row}\n", end="", flush=True)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the summary; if a job has not finished, exit with code 1."""
        atexit.unregister(self._summarise)
        if self._summarise():
            sys.exit(1)

    def _title(self, config: DictConfig) -> str:
        return f"job {config.hydra.job.num + 1} of {len(self.jobs)}, {self.jobs[config.hydra.job.num]}"

    def _note(self, config: DictConfig, outcome: str, reason: str = "") -> None:
        note = {"outcome": outcome, "folder": config.hydra.runtime.output_dir, "reason": reason}
        write_text(self.notes / f"{config.hydra.job.num}.json", json.dumps(note))

    def _summarise(self) -> bool:
        """Print the summary; return whether any job has not finished."""
        notes = {int(path.stem): json.loads(path.read_text()) for path in self.notes.glob("*.json")}
        shutil.rmtree(self.notes)
        states = [notes[number]["outcome"] if number in notes else "not started" for number in range(len(self.jobs))]
        counts = Counter(states)
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        lines = (f"{state:15} {job}" for state, job in zip(states, self.jobs, strict=True))
        print("", *lines, f"{len(self.jobs)} jobs: {said}", sep="\n", flush=True)
        for number, note in sorted(notes.items()):
            if note["outcome"] in ("failed", "broken off"):
                reason = f": {note['reason']}" if note["reason"] else ""
                print(f"{note['outcome']}: {self.jobs[number]}{reason}; its folder is {note['folder']}", file=sys.stderr)
        return bool(counts.keys() - {"finished", "finished before"})


def names(config: DictConfig) -> tuple[str, ...]:
    """A name for every job, in the order of Hydra's sweeper: the settings that it does not share with all other jobs."""
    jobs = list(product(*values(config.hydra.sweeper.params, parsed(config.hydra.overrides.task))))
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return tuple(" ".join(setting for setting in job if setting not in shared) for job in jobs)


def _row(result: Mapping[str, Any]) -> str:
    """The most important numbers in the method's row of a result, as text."""
    row = result["rows"][result["baseline"]]
    columns = ("score",) if result["selection"] else (*COMPARED, "disparity", "score")
    return "".join(f", {column} {row[column]:.2f}" for column in columns if row.get(column) is not None)

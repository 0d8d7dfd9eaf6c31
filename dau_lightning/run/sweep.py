"""A sweep, whatever launches its jobs: a line for each, a failed one named while the rest go on, a summary at the end."""

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
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from dau_lightning.base.error import expected, line
from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.storage.run_folder import read_result

NOTES, ALIVE = ".sweep-", "alive.lock"


class Sweep(Callback):
    """What Hydra calls around a sweep and, in their own processes, around its jobs; a run alone does not notice it.

    Hydra would end a sweep that has a failed job with the traceback of the first. Here each job leaves a note in a folder
    that all processes see, and Hydra is told that it went well. Jobs that run side by side write what they print into
    `output.txt` of their run folder. Pickled with the jobs, this object also brings the resolver of `folder.py` to them.
    """

    jobs: tuple[str, ...] = ()  # of the jobs: what tells them apart

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Learn which jobs there will be."""
        self.jobs = names(config)
        os.makedirs(config.hydra.sweep.dir, exist_ok=True)
        _remove_left_behind(Path(config.hydra.sweep.dir))
        self.notes = Path(tempfile.mkdtemp(prefix=NOTES, dir=config.hydra.sweep.dir)).resolve()
        alive = FileLock(self.notes / ALIVE)  # not an attribute: jobs get a copy of this object
        alive.acquire()
        atexit.register(alive.release)
        atexit.register(self._summarise)  # also where a killed process or ^C breaks the sweep off
        print(f"{len(self.jobs)} jobs, into {config.hydra.sweep.dir}", flush=True)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Send a job's output where it belongs."""
        if not self.jobs:
            return
        folder = Path(config.hydra.runtime.output_dir)
        self.skipped = read_result(folder) is not None and not config.overwrite
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
        """Note how it went, and say so in one line."""
        if not self.jobs:
            return
        outcome, error = "finished before" if self.skipped else "finished", ""
        if job_return.status == JobStatus.FAILED:
            outcome, found = "failed", job_return._return_value
            error = line(found) if expected(found) else f"{type(found).__name__}: {line(found)}"
            if not expected(found):
                traceback.print_exception(found)
            elif self.aside:
                print(f"error: {error}", file=sys.stderr)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, None
        self.output.close()
        self._note(config, outcome, error)
        if self.aside or error:
            row = "" if error else _row(read_result(Path(config.hydra.runtime.output_dir)) or {})
            print(f"{self._title(config)}: {outcome}{row}", flush=True)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Sum up; a failed job makes the exit code 1."""
        atexit.unregister(self._summarise)
        if self._summarise():
            sys.exit(1)

    def _title(self, config: DictConfig) -> str:
        return f"job {config.hydra.job.num + 1} of {len(self.jobs)}, {self.jobs[config.hydra.job.num]}"

    def _note(self, config: DictConfig, outcome: str, error: str = "") -> None:
        number, folder = config.hydra.job.num, config.hydra.runtime.output_dir
        temporary = self.notes / f"{number}.tmp"
        temporary.write_text(json.dumps({"outcome": outcome, "folder": folder, "error": error}))
        os.replace(temporary, self.notes / f"{number}.json")

    def _summarise(self) -> bool:
        """Print the summary; whether any job is not as it should be."""
        notes = {int(path.stem): json.loads(path.read_text()) for path in self.notes.glob("*.json")}
        for path in self.notes.iterdir():
            path.unlink()
        self.notes.rmdir()
        counts = Counter({"not started": len(self.jobs) - len(notes)}) + Counter(note["outcome"] for note in notes.values())
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        states = [notes[number]["outcome"] if number in notes else "not started" for number in range(len(self.jobs))]
        lines = (f"{state:15} {job}" for state, job in zip(states, self.jobs, strict=True))
        print("", *lines, f"{len(self.jobs)} jobs: {said}", sep="\n", flush=True)
        for number, note in sorted(notes.items()):
            if note["outcome"] in ("failed", "broken off"):
                reason = f": {note['error']}" if note["error"] else ""
                print(f"{note['outcome']}: {self.jobs[number]}{reason}; its folder is {note['folder']}", file=sys.stderr)
        return bool(counts.keys() - {"finished", "finished before"})


def _remove_left_behind(folder: Path) -> None:
    """Remove the notes of sweeps whose process was killed; of one that lives the lock is held."""
    for notes in folder.glob(f"{NOTES}*"):
        try:
            with FileLock(notes / ALIVE, timeout=0):
                shutil.rmtree(notes, ignore_errors=True)
        except (Timeout, OSError):
            continue


def names(config: DictConfig) -> tuple[str, ...]:
    """For every job its overrides, without those that all jobs share."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task])
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return tuple(" ".join(override for override in job if override not in shared) for job in jobs)


def _row(result: Mapping[str, Any]) -> str:
    """The method's row of a result, short."""
    row = result["rows"][result["baseline"]]
    columns = ("score",) if result["selection"] else (*COLUMNS, "disparity", "score")
    return "".join(f", {column} {row[column]:.2f}" for column in columns if row.get(column) is not None)

"""Audits several runs at a time, each in a process with its share of the cores."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from cloudpickle import dumps, loads

from dau_lightning.base.child_process import end_with_parent
from dau_lightning.base.error import TrainingError

THREADS = "OMP_NUM_THREADS"


def side_by_side(folders: Sequence[Path], audited: Callable[[Path], bool], jobs: int) -> Iterator[tuple[str, bool]]:
    """Audit runs; yields, run by run, what the audit printed and whether the run could be audited.

    Audits of one split wait for each other's trainings, so neighbours in the order should have different splits.

    Args:
        folders: the run folders.
        audited: audits the run of a folder.
        jobs: how many audits run at a time.

    Raises:
        TrainingError: a process was killed.
    """
    children, given = get_context("forkserver"), os.environ.get(THREADS)
    children.set_forkserver_preload(["dau_lightning.base.child_process"])  # without torch, which looks at the threads
    os.environ[THREADS] = str(max(1, int(given or os.cpu_count() or 1) // jobs))
    try:
        with ProcessPoolExecutor(jobs, children, end_with_parent) as pool:
            yield from pool.map(partial(printed, dumps(audited)), folders)
    except BrokenProcessPool as error:
        raise TrainingError("an audit was killed, perhaps for want of memory: the same command goes on") from error
    finally:
        os.environ.pop(THREADS) if given is None else os.environ.update({THREADS: given})


def printed(pickled: bytes, folder: Path) -> tuple[str, bool]:
    """What the audit of a run prints, and whether the run could be audited."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        outcome = loads(pickled)(folder)
    return text.getvalue(), outcome

"""Work on a case in child processes, one thread in each: as many at a time as torch may use threads.

Small networks gain little from a second thread: two trainings side by side on two cores take little longer than one
alone. Stacked weights (`torch.func`, grouped convolutions) are no faster than one network at a time, see docs/audit.md.
"""

import io
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from dataclasses import replace
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

import lightning as L
import torch
from cloudpickle import dumps, loads

from dau_lightning.audit.case import Case
from dau_lightning.base.child_process import end_with_parent
from dau_lightning.base.console import progress_bar
from dau_lightning.base.error import TrainingError
from dau_lightning.training.trainer import process_settings

Result = TypeVar("Result")
EVERY = 0.5  # seconds between two looks at the progress


class Share(L.Callback):
    """In place of a progress bar: writes the share of a training that is done to a place that the parent reads.

    Args:
        shares: an array that both processes have.
        place: the training's own.
    """

    def __init__(self, shares: Any, place: int) -> None:
        self.shares, self.place = shares, place

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note the share."""
        self.shares[self.place] = pl_module.progress


def workers(case: Case) -> int:
    """How many trainings run at a time."""
    return torch.get_num_threads() if case.training.device.type == "cpu" else 1


def in_parallel(case: Case, works: Sequence[Callable[[Case], Result]], description: str) -> list[Result]:
    """The results of works on a case, in their order. A work should train one model at most, for the time left to be right.

    On a GPU, and where torch may use one thread, this process does one work after another.

    Args:
        case: the run under audit. The children do not get its models and outputs.
        works: what to do.
        description: what the progress bar says.

    Raises:
        NotEnough: of the first work that raised it; works that had begun are finished.
        TrainingError: a child process was killed.
    """
    if (count := workers(case)) == 1 or not works:
        with redirect_stdout(io.StringIO()):  # a line for each model would hide the table
            return [work(case) for work in works]
    children = get_context("forkserver")
    children.set_forkserver_preload(["dau_lightning.audit.audit"])  # so that torch is imported once
    shares = children.Array("d", len(works), lock=False)
    lean = dumps(replace(case, models={}, known={}, shadow_outputs={}))
    before = set(active_children())
    with ProcessPoolExecutor(min(count, len(works)), children, _begin, (lean, shares)) as pool:
        futures = [pool.submit(_do, dumps(work), place) for place, work in enumerate(works)]
        try:
            _watch(futures, shares, description)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise TrainingError("a child process was killed, perhaps for want of memory: the same command goes on") from error
        except KeyboardInterrupt:
            for child in set(active_children()) - before:
                child.terminate()  # else the pool waits until their trainings are over
            raise


def _watch(futures: Sequence[Future[Any]], shares: Any, description: str) -> None:
    """Show the progress until all works are done or one has failed; then begin no further one."""
    with progress_bar() as bar:
        task, left, failed = bar.add_task(description, total=len(futures)), set(futures), False
        while left and not failed:
            done, left = wait(left, EVERY)
            failed = any(future.exception() for future in done)
            parts = [1.0 if future.done() else share for future, share in zip(futures, shares, strict=True)]
            bar.update(task, completed=sum(parts))
    for future in left:
        future.cancel()


def _begin(pickled: bytes, shares: Any) -> None:
    """What a child does once."""
    global _case, _shares
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is the parent's
    torch.set_num_threads(1)
    _case, _shares = loads(pickled), shares


def _do(pickled: bytes, place: int) -> Any:
    """One work, without anything printed but warnings."""
    training = replace(_case.training, bar=lambda _: Share(_shares, place))
    with process_settings(), redirect_stdout(io.StringIO()):
        return loads(pickled)(replace(_case, training=training))

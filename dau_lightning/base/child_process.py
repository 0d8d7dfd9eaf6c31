"""Child processes of a run: those of further devices print into a file, and all of them end when their parent ends.

This file does not import torch, since output is redirected before torch is imported.
"""

import os
import sys
import threading
import time
from functools import cache
from multiprocessing import parent_process
from pathlib import Path

LEADER = "DAU_LEADER"  # environment variable: id of the process that started this one, see `devices.launch`


def further(devices: int, folder: Path) -> bool:
    """Whether this process belongs to another device than the first; if so, redirect its output into a file.

    Args:
        devices: number of devices of the run.
        folder: the run folder; output goes into `device-<rank>.txt` there.
    """
    rank = int(os.environ.get("LOCAL_RANK", 0)) if devices > 1 else 0
    if rank:
        sys.stdout = sys.stderr = open(folder / f"device-{rank}.txt", "w", buffering=1)  # noqa: SIM115, open to the end
        if leader := os.environ.get(LEADER):
            end_with(int(leader))
    return rank > 0


@cache
def end_with(leader: int) -> None:
    """End this process when the process that started it ends: a killed parent cannot tell its children to stop."""
    threading.Thread(target=_watch, args=(leader,), daemon=True).start()


def end_with_parent() -> None:
    """End this process, started by `multiprocessing`, when the process that asked for it ends; a fork server stands between."""
    threading.Thread(target=_join_parent, daemon=True).start()


def _join_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _watch(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(0.5)
    os._exit(1)

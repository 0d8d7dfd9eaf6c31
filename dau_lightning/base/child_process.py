"""What further processes of a run do: those of devices print into a file, before torch, and all end when their leader does."""

import os
import sys
import threading
import time
from functools import cache
from pathlib import Path

LEADER = "DAU_LEADER"  # in the environment: the process that started it, see `devices.launch`


def further(devices: int, folder: Path) -> bool:
    """Whether this process belongs to a further device of a run; if so, it is a quiet one from now on.

    Args:
        devices: of the run.
        folder: of the run; output goes into `device-<rank>.txt` there.
    """
    rank = int(os.environ.get("LOCAL_RANK", 0)) if devices > 1 else 0
    if rank:
        sys.stdout = sys.stderr = open(folder / f"device-{rank}.txt", "w", buffering=1)  # noqa: SIM115, open to the end
        if leader := os.environ.get(LEADER):
            end_with(int(leader))
    return rank > 0


@cache
def end_with(leader: int) -> None:
    """From now on end when the process that started this one does: one that is killed sends no word to those who wait."""
    threading.Thread(target=_watch, args=(leader,), daemon=True).start()


def _watch(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(0.5)
    os._exit(1)

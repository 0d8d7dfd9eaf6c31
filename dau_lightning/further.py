"""What the process of a further device does first, before torch: it prints into a file, and ends when its leader does."""

import os
import sys
import threading
import time
from pathlib import Path

LEADER = "DAU_LEADER"  # in the environment: the process that started it, see `devices.gather`


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
            threading.Thread(target=_end_with, args=(int(leader),), daemon=True).start()
    return rank > 0


def _end_with(leader: int) -> None:
    """A leader that was killed sends no word, and its devices would wait for it as long as they have patience."""
    while os.getppid() == leader:
        time.sleep(0.5)
    os._exit(1)

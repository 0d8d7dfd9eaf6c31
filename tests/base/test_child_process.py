import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# One whose child hands over more than a pipe takes, as a process that decodes does, and never gets to the end of it.
HANDING_OVER = """
import os, sys, time
from dau_lightning.base.child_process import end_with
leader, (reader, writer) = os.getpid(), os.pipe()
if os.fork() == 0:
    end_with(leader)
    print(os.getpid(), flush=True)
    os.write(writer, bytes(2**20))
time.sleep(60)
"""


def test_a_process_in_the_middle_of_handing_over_ends_with_the_one_that_started_it() -> None:
    leader = subprocess.Popen([sys.executable, "-c", HANDING_OVER], stdout=subprocess.PIPE, text=True)
    assert leader.stdout
    child = int(leader.stdout.readline())
    time.sleep(1)
    assert Path(f"/proc/{child}").exists()  # it does not end before
    leader.kill()
    leader.wait()
    leader.stdout.close()
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    if ran := _runs(child):
        os.kill(child, signal.SIGKILL)
    assert not ran


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""The real `train.py` in a process of its own that writes down every step it takes, and kills itself at one of them."""

import os
import runpy
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dau_lightning.tracking.wandb
import dau_lightning.training.trainer  # noqa: F401, with torch and Lightning: loaded once, and there in every forked process
from dau_lightning.game.pretraining import Pretraining
from dau_lightning.run import record
from dau_lightning.storage import image_cache, run_folder
from dau_lightning.training.module import UnlearningModule

TRAIN = Path(__file__).parents[2] / "train.py"
IMAGES_A_CHUNK, IMAGES_A_BLOCK = 5, 100


@dataclass(frozen=True)
class Step:
    """A step of a phase, by its number, and when it began (seconds of a clock that all processes share)."""

    phase: str
    number: int
    time: float


def run(
    where: Path,
    arguments: Sequence[str],
    seconds: float,
    kill: tuple[str, int] | None = None,
    first: Callable[[], object] = lambda: None,
) -> tuple[int, list[Step]]:
    """Run `train.py` in a folder; kill it with SIGKILL as it begins a step.

    Args:
        where: the folder; output goes into `output.txt` there.
        arguments: of the command line.
        seconds: between two checkpoints.
        kill: phase and number of the step.
        first: called in the new process.

    Returns:
        Its exit code, negative for a signal, and the steps that it began.
    """
    log = where / "steps.log"
    log.unlink(missing_ok=True)
    if (child := os.fork()) == 0:
        os.chdir(where)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _trace(log, kill)
        first()
        sys.argv = [str(TRAIN), *arguments, f"checkpoint.seconds={seconds}"]
        code: Any = 0
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
        except SystemExit as end:
            print(end.code)
            code = int(end.code is not None and end.code != 0)
        except BaseException:
            traceback.print_exc()
            code = 2
        sys.stdout.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    words = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return code, [Step(each[0], int(each[1]), float(each[2])) for each in words if len(each) == 3]  # a full disk cuts the last


def _trace(log: Path, kill: tuple[str, int] | None) -> None:
    """Let every step write a line before it begins."""
    file, counts = open(log, "a", buffering=1), Counter[str]()  # noqa: SIM115, open to the end

    def begin(phase: str, number: int | None = None) -> None:
        number = counts[phase] if number is None else number
        counts[phase] += 1
        file.write(f"{phase} {number} {time.monotonic()}\n")
        if (phase, number) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str, say: Callable[..., tuple[str, int | None]], after: bool = False) -> None:
        original = getattr(owner, name)

        def traced(*args: Any, **kwargs: Any) -> Any:
            if after:  # a checkpoint may be written within
                original(*args, **kwargs)
            begin(*say(*args))
            return None if after else original(*args, **kwargs)

        setattr(owner, name, traced)

    before(UnlearningModule, "on_train_batch_start", lambda module, *_: (module.phase, module.step))
    before(Pretraining, "before_step", lambda _, module, step: ("pretraining", step), after=True)
    before(UnlearningModule, "test_step", lambda *_: ("evaluation", None))
    before(record, "write_result", lambda *_: ("record", None))
    before(run_folder, "config_hash", lambda *_: ("start", None))
    chunk = image_cache._decode_chunk

    def decode_chunk(paths: Sequence[Path], size: int, leader: int) -> Any:
        begin("decoding", int(paths[0].stem))
        return chunk(paths, size, leader)

    image_cache._decode_chunk = decode_chunk
    image_cache.CHUNK_BYTES, image_cache.BLOCK_BYTES = (count * 3 * 8 * 8 for count in (IMAGES_A_CHUNK, IMAGES_A_BLOCK))
    image_cache.PARALLEL_BYTES = 1 << 40  # in this process

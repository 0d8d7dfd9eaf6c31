"""Files that appear whole or not at all, one process at a time, and what happens to those that turn out not to be whole."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from dau_lightning.base.error import InputError

PATIENCE = 1  # seconds that a process waits before it says so


@contextmanager
def locked(lock: Path, work: str) -> Iterator[None]:
    """One process at a time does the work of a lock file; another says that it waits. The lock of a dead process is free."""
    file = FileLock(lock)
    try:
        file.acquire(timeout=PATIENCE)
    except Timeout:
        print(f"waiting for another process, {work}", file=sys.stderr)
        file.acquire()
    try:
        yield
    finally:
        file.release()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: what the block writes there is flushed to the disk and takes the place of `path`.

    Raises:
        InputError: it cannot be written; what stood at `path` stands there still.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # the same for every process: what a killed one left is written over
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # that of any new file; those of safetensors only their owner could read
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)  # the name itself
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"cannot write {path} ({reason}); all that was finished before stays as it is") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def read_lines(path: Path, errors: str = "strict") -> list[str]:
    r"""The lines of a UTF-8 file, which \n or \r\n ends; `splitlines` would break names of files at nine other characters."""
    *found, last = re.split(r"\r?\n", path.read_bytes().decode("utf-8-sig", errors))
    return [*found, last] if last else found


def set_aside(path: Path, reason: object) -> None:
    """Give a file that cannot be used the name `*.bad`, with a warning."""
    aside = path.with_name(f"{path.name}.bad")
    os.replace(path, aside)
    warnings.warn(f"{path} cannot be used ({reason}); it is set aside as {aside.name}", stacklevel=3)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

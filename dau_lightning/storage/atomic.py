"""Writes files as a whole or not at all, locks work between processes, and renames files that cannot be used."""

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from dau_lightning.base.error import InputError

PATIENCE = 1  # seconds that a process waits for a lock before it prints that it waits


@contextmanager
def locked(lock: Path, work: str = "") -> Iterator[None]:
    """Hold a lock file, so that one process at a time does some work. When a process dies, its lock becomes free.

    Args:
        lock: path of the lock file.
        work: what the other process does, such as "which trains original-0123.safetensors"; printed if this process waits;
            empty for work of seconds.
    """
    file = FileLock(lock)
    try:
        file.acquire(timeout=PATIENCE)
    except Timeout:
        print(f"waiting for another process, {work}\n" if work else "", end="", file=sys.stderr)
        file.acquire()
    try:
        yield
    finally:
        file.release()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends, flush that file to the disk and rename it to `path`.

    Raises:
        InputError: the file cannot be written; an earlier file at `path` is unchanged.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # the same in all processes, so that a killed one's file is overwritten
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # safetensors makes files that only their owner can read
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)  # the new name survives a power failure too
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"cannot write {path} ({reason}); files that were finished before are unchanged") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file in one step; bytes that were read with `surrogateescape` become what they were."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write all files or none: a file takes its place once all of them are on the disk.

    Raises:
        InputError: a file cannot be written.
    """
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as writing:
        for path, content in files.items():
            writing.enter_context(atomic_write(path)).write_bytes(content)


def read_lines(path: Path, errors: str = "strict") -> list[str]:
    r"""The lines of a UTF-8 file, without the \n or \r\n at their ends.

    `str.splitlines` would also split at nine other characters, which file names may contain.
    """
    *found, last = re.split(r"\r?\n", path.read_bytes().decode("utf-8-sig", errors))
    return [*found, last] if last else found


def set_aside(path: Path, reason: object) -> None:
    """Rename a file that cannot be used to `<name>.bad`, with a warning."""
    aside = path.with_name(f"{path.name}.bad")
    os.replace(path, aside)
    warnings.warn(f"{path} cannot be used ({reason}); it is set aside as {aside.name}", stacklevel=3)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that appear whole or not at all, and what happens to those that turn out not to be whole."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from dau_lightning.error import InputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: what the block writes there is flushed to the disk and takes the place of `path`.

    Raises:
        InputError: it cannot be written; what stood at `path` stands there still.
    """
    temporary = path.with_name(f".{path.name}.tmp")  # the same for every process: what a killed one left is written over
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)  # the name itself
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"cannot write {path} ({reason}); all that was finished before stays as it is") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def set_aside(path: Path, reason: object) -> None:
    """Give a file that cannot be used the name `*.bad`, with a warning."""
    aside = path.with_suffix(".bad")
    os.replace(path, aside)
    warnings.warn(f"{path} cannot be used ({reason}); it is set aside as {aside.name}", stacklevel=3)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

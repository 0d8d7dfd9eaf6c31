"""Errors whose cause the user can remove: the program ends with one line that says what to change, without a traceback."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException


class InputError(ValueError):
    """A setting, file or folder cannot be used. The message names it, what is allowed and what was given."""


class TrainingError(RuntimeError):
    """A training cannot go on, for example because a loss is not finite. The message names phase and step."""


def require(condition: bool, message: str) -> None:
    """Raise an `InputError` unless a condition holds."""
    if not condition:
        raise InputError(message)


# A full or read-only disk, missing permissions, a path that is no folder. ENOENT occurs when a folder is created in /proc.
UNUSABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
UNUSABLE |= {errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
# Parts of torch's messages on the CPU, on a GPU, and about sizes beyond any memory.
MEMORY = "out of memory|can't allocate memory|not enough memory|size calculation overflow|multiplication overflow"
SMALLER = "make the network (such as network.width), dataset.image_size, dataset.train_limit or the batch sizes smaller"
HIDDEN_CAUSE = ", set env var HYDRA_FULL_ERROR=1 to see chained exception."  # Hydra's words where an import failed


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there is too little memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(re.search(MEMORY, str(error))))


def expected(error: BaseException) -> bool:
    """Whether the user can remove the cause of an error: an input, a disk, a folder, the memory. Other errors are bugs."""
    known = isinstance(error, InputError | TrainingError | HydraException) or out_of_memory(error)
    return known or (isinstance(error, OSError) and error.errno in UNUSABLE)


def line(error: BaseException) -> str:
    """The message of an error as one line."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot use {error.filename}: {error.strerror}"
    if out_of_memory(error):
        asked = re.search(r"ried to allocate [\d.]+ \w+", str(error))
        return f"out of memory{f' (t{asked[0]})' if asked else ''}: {SMALLER}"
    message, cause = str(error), error
    while cause.__cause__:
        cause = cause.__cause__
    return " ".join(message.replace(HIDDEN_CAUSE, f": {cause}").split())


@contextmanager
def one_line() -> Iterator[None]:
    """If the block raises an expected error, print it as one line and exit with code 1; other errors keep their traceback."""
    try:
        yield
    except Exception as error:
        if not expected(error):
            raise
        sys.exit(f"error: {line(error)}")

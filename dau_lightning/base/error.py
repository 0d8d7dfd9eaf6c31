"""What the person in front of the command line can mend: printed as one line, without a traceback."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException


class InputError(ValueError):
    """A setting, file or folder that cannot be used. The message names it, what is allowed and what was given."""


class TrainingError(RuntimeError):
    """A training that cannot go on, such as a loss that is not finite. The message names phase and step."""


def require(condition: bool, message: str) -> None:
    """Raise an `InputError` unless a condition holds."""
    if not condition:
        raise InputError(message)


EXPECTED = (InputError, TrainingError, HydraException)
UNUSABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
UNUSABLE |= {errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}  # /proc says of a new folder that it is not there

UNTOLD = ", set env var HYDRA_FULL_ERROR=1 to see chained exception."  # which says why something cannot be imported
SMALLER = "make the network (such as network.width), dataset.image_size, dataset.train_limit or the batch sizes smaller"
# What torch says on the CPU, on a GPU, and of sizes that no memory has.
MEMORY = "out of memory|can't allocate memory|not enough memory|size calculation overflow|multiplication overflow"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(re.search(MEMORY, str(error))))


def expected(error: BaseException) -> bool:
    """Whether an error is no defect of this program: a mistake in what was given, or an unusable disk, folder or memory."""
    return isinstance(error, EXPECTED) or out_of_memory(error) or (isinstance(error, OSError) and error.errno in UNUSABLE)


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
    return " ".join(message.replace(UNTOLD, f": {cause}").split())


@contextmanager
def one_line(sweep: bool = False) -> Iterator[None]:
    """End the program with the error inside as one line; within a sweep let it pass: `sweep.py` names the failed job."""
    try:
        yield
    except Exception as error:
        if sweep or not expected(error):
            raise
        sys.exit(f"error: {line(error)}")

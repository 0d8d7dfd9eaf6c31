"""Which errors end a program as one line, and what the line says."""

import errno

import pytest

from dau_lightning.error import line, one_line


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG])
def test_a_folder_that_cannot_be_used_is_named(number: int) -> None:
    with pytest.raises(SystemExit, match=r"^error: cannot use /proc/x: no$"), one_line():
        raise OSError(number, "no", "/proc/x")
    assert line(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"

"""Which errors end a program as one line, and what the line says."""

import errno

import pytest
import torch
from hydra.utils import instantiate

from dau_lightning.base.error import line, one_line


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG])
def test_a_folder_that_cannot_be_used_is_named(number: int) -> None:
    with pytest.raises(SystemExit, match=r"^error: cannot use /proc/x: no$"), one_line():
        raise OSError(number, "no", "/proc/x")
    assert line(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"


@pytest.mark.parametrize("width", [10**6, 2**31 - 1])
def test_a_network_larger_than_the_memory(width: int) -> None:
    with (
        pytest.raises(SystemExit, match=r"^error: out of memory( \(tried to allocate \d+ bytes\))?: .*network\.width") as end,
        one_line(),
    ):
        torch.nn.Conv2d(width, 2 * width, 3)
    assert "\n" not in str(end.value)


def test_memory_of_a_gpu_and_of_python() -> None:
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")
    assert line(gpu).startswith("out of memory (tried to allocate 2.00 GiB): make")
    assert line(MemoryError()).startswith("out of memory: make")


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="shape"), one_line():
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nope.Net", "Error locating target 'nope.Net': No module named 'nope'"),
        ("torch.nn.Nope", "Error locating target 'torch.nn.Nope': No module named 'torch.nn.Nope'"),
    ],
)
def test_what_cannot_be_imported_says_why(target: str, reason: str) -> None:
    with pytest.raises(SystemExit) as end, one_line():
        instantiate({"_target_": target})
    assert end.value.code == f"error: {reason}"

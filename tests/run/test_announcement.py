"""What a run says before it starts, by the real entry point."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.tiny import TINY

WARNING = "warning: trainer.precision=bf16-mixed is many times slower than 32-true on this processor (AVX2, no AVX-512)\n"


@pytest.mark.parametrize(
    ("precision", "machine", "capability", "warned"),
    [
        ("bf16-mixed", "x86_64", "AVX2", True),
        ("32-true", "x86_64", "AVX2", False),
        ("bf16-mixed", "x86_64", "AVX512", False),
        ("bf16-mixed", "aarch64", "DEFAULT", False),
    ],
)
def test_a_precision_that_the_processor_emulates_has_a_warning(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision, machine, capability, warned
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    printed = run(*TINY, f"trainer.precision={precision}", "preview=true")
    assert ("slower than 32-true" in printed) is warned
    assert (WARNING in printed) is warned

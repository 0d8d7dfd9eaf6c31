"""The ledger without a run; with runs see `test_own.py`."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dau_lightning.run.ledger import previous_run, write
from dau_lightning.storage.seal import tensors_digest
from tests.world import leave_result

NAMES = [f"train/a/{name}.png" for name in ("1\u2028b", "2\x85", "3\x0b4", "5\x1c6", "7\r8", os.fsdecode(b"caf\xe9"))]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_whatever_stands_in_the_names_of_files_can_be_continued_from(tmp_path: Path, end: bytes) -> None:
    weights = {"bias": torch.zeros(2)}
    save_file(weights, tmp_path / "unlearned.safetensors")
    entry = write(tmp_path, [], {"weights_sha256": tensors_digest(weights)}, NAMES)
    leave_result(tmp_path, {"settings": {}, "rows": {}, "ledger": entry, "start": {"saw_all": True}})
    for name in ("ledger.jsonl", "forgotten.txt"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b"\n", end))
    found = previous_run(str(tmp_path))
    assert (list(found.ids), len(found.lines)) == (NAMES, 1)

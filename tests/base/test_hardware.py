from pathlib import Path

import pytest
import torch

from dau_lightning.base import hardware


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel\t\t: 143\nmodel name\t: Xeon 8480 @ 2 GHz \n\nmodel name\t: other\n", "Xeon 8480 @ 2 GHz"),
        ("processor\t: 0\nmodel name\t:\nBogoMIPS\t: 50.00\n", "aarch64"),
        (None, "aarch64"),
    ],
)
def test_a_processor_has_its_model_name_or_its_architecture(tmp_path, monkeypatch, cpuinfo, name):
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo is not None:
        hardware.CPUINFO.write_text(cpuinfo)
    monkeypatch.setattr("platform.processor", str)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert hardware.hardware(torch.device("cpu"))["name"] == name


@pytest.mark.parametrize(("limit", "expected"), [("max", None), ("4096", 4096)])
def test_the_memory_of_a_job_or_container_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int | None
) -> None:
    machine = hardware.total_memory(torch.device("cpu"))
    (tmp_path / "slurm" / "job").mkdir(parents=True)
    (tmp_path / "slurm" / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "slurm" / "job" / "memory.max").write_text("max\n")
    (tmp_path / "group").write_text("1:cpu:/\n0::/slurm/job\n")
    monkeypatch.setattr(hardware, "CGROUP", tmp_path / "group")
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    assert hardware.total_memory(torch.device("cpu")) == (expected or machine)

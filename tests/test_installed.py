"""A built wheel, installed into a fresh environment, does in an empty folder what a clone does."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import pytest

from tests.tiny import TINY

pytestmark = pytest.mark.installed
ROOT = Path(__file__).parents[1]
FROM_PYTHON = """
import torch
import dau_lightning
from dau_lightning import unlearn

images, labels = torch.randint(256, (48, 3, 8, 8), dtype=torch.uint8), torch.arange(48) % 2
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
settings = ["baseline.epochs=1", "baseline.min_steps=0", "dynamics=0", "trainer.accelerator=cpu"]
data = {"train": (images[:24], labels[:24]), "test": (images[24:], labels[24:]), "mean": [0.0] * 3, "std": [1.0] * 3}
done = unlearn(model, forget=[3, 5], val_from_test=0.5, settings=settings, **data)
print(dau_lightning.__file__, done.result["counts"]["forget"])
"""


def uv(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments, "--quiet"], check=True)


def files(folder: Path, within: str) -> set[str]:
    """The files below a folder, named as the wheel names them."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {f"{within}/{name}" for name in found if not name.endswith(".pyc")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Iterator[Path]:
    """Where the programs of the environment are; it holds gigabytes and goes at the end, also after a failure."""
    with TemporaryDirectory() as folder:
        environment = Path(folder)
        uv("venv", "--python", sys.executable, "--clear", environment)
        uv("pip", "install", "--python", environment, "--constraints", ROOT / "constraints.txt", wheel)
        yield environment / "bin"


@pytest.fixture
def call(programs: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a program of the environment in an empty folder; gives what it printed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(program: str, *arguments: str) -> str:
        command = [programs / program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_the_package_and_every_file_of_conf(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files(ROOT / "dau_lightning", "dau_lightning") | files(ROOT / "conf", "dau_lightning/conf")


def test_the_command_writes_its_runs_and_store_where_it_is_called(call: Callable[..., str], tmp_path: Path) -> None:
    assert "scheme" in call("dau-lightning", "--help")
    call("dau-lightning", *TINY, "figures=true")
    (run,) = (path.parent for path in tmp_path.glob("runs/**/result.json"))
    assert {"unlearned.safetensors", "report.html"} <= {path.name for path in run.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "store"}
    assert list((tmp_path / "store").rglob("*.safetensors"))


def test_a_sweep_runs_its_jobs_and_the_report_reads_them(call: Callable[..., str], tmp_path: Path) -> None:
    call("dau-lightning", "-m", "seed=0,1", "baseline=finetune", *TINY)
    assert len(list(tmp_path.glob("runs/**/result.json"))) == 2
    assert "Retrain" in call("python", "-m", "dau_lightning.report", "runs")


def test_python_imports_unlearn_from_the_installed_package(call: Callable[..., str], programs: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FROM_PYTHON)
    file, count = call("python", "program.py").splitlines()[-1].split()
    assert Path(file).is_relative_to(programs.parent)
    assert count == "2"
    written = {path.name for path in (tmp_path / "unlearned").iterdir()}
    assert {"result.json", "unlearned.safetensors", "report.html"} <= written

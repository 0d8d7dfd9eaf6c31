"""The command itself: flags, help, mistakes before torch, and what it may change in its process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def command(*arguments: str, code: str = "import train; train.main()") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which ends by saying whether torch was imported."""
    program = f"import sys\ntry:\n    {code}\nfinally:\n    print({{'torch', 'lightning'}} & set(sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=-1"], "seed must be an integer of at least 0, got -1"),
        (["dataset=imagefolder", "dataset.root="], "dataset.root must be text"),
        (["--multirn", "seed=1"], "unknown flag --multirn; did you mean '--multirun'?"),
        (["--seed=1"], "unknown flag --seed=1; settings have no dashes: write seed=VALUE"),
        (["--baseline.lr", "0.1"], "unknown flag --baseline.lr; settings have no dashes: write baseline.lr=VALUE"),
        (["dataset=imagefolder", "dataset.root=/data/größe", "seed=-1"], "seed must be"),
        (["--cfg", "nonsense"], "argument --cfg/-c: invalid choice: 'nonsense'"),
        (["--cfg", "job", "-m", "seed=1,2"], "argument --multirun/-m: not allowed with argument --cfg/-c"),
        (["--config-dir", "nowhere", "seed=1"], "--config-dir must be a folder that exists, got 'nowhere'"),
        (["--resolve"], "--resolve"),
        (["--shell-completion", "x"], "install"),
        (["--help", "dataset=nope"], "unknown dataset 'nope'"),
    ],
)
def test_a_mistake_is_one_line(run: Callable[..., str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert str(end.value).startswith("error: ")
    assert message in str(end.value)
    assert "\n" not in str(end.value)


def test_a_mistake_ends_the_program_without_torch(tmp_path: Path) -> None:
    done = command("seed=-1")
    assert (done.returncode, done.stdout) == (1, "set()\n")
    assert done.stderr == "error: seed must be an integer of at least 0, got -1\n"


def test_help_lists_choices_and_settings_without_torch(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "mine.yaml").write_text("_target_: mine.Mine\nstrength: 0.5\n")
    (tmp_path / "experiment" / "table1").mkdir(parents=True)
    (tmp_path / "experiment" / "table1" / "mine-random-dense.yaml").write_text("baseline: {strength: 2.0}\n")
    done = command("--help", "--config-dir", str(tmp_path), "baseline=mine")
    assert done.returncode == 0, done.stderr
    assert "scheme: classwise, confident, corrupted, indices, memorised, random\n" in done.stdout
    assert "influence, l1_sparse, lotus, mine, negation, neggrad_plus, original" in done.stdout
    assert "  strength: 0.5\n" in done.stdout
    assert "tuned: " not in done.stdout
    assert "experiment: figure2, " in done.stdout
    assert "experiment/" not in done.stdout
    assert done.stdout.endswith("set()\n")


def test_flags_stand_anywhere(run: Callable[..., str]) -> None:
    printed = run("seed=3", "--cfg", "job", "baseline.lr=0.5", "--package", "baseline")
    assert "lr: 0.5\n" in printed
    assert run("-c", "job", "--resolve", "-p", "seed").strip() == "0"


def test_importing_the_package_changes_nothing() -> None:
    code = "import os; before = dict(os.environ); import dau_lightning.run.command_line; from omegaconf import OmegaConf;"
    code += " print(before == dict(os.environ), OmegaConf.has_resolver('config_hash'))"
    assert command(code=code).stdout == "True False\nset()\n"

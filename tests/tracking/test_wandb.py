import ast
import csv
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

import dau_lightning
from dau_lightning.baseline.original import Original
from dau_lightning.tracking import wandb as tracking
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.tracking.wandb import has_credentials, loggers
from dau_lightning.training.module import log
from tests.offline import without_credentials
from tests.tiny import TINY

SETTINGS = {"project": "tests", "name": "tiny", "settings": {"seed": 0, "baseline": {"lr": 0.1}}}
ONE_ROW = [{"unlearning/loss": "2.5", "step": "0"}]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials."""
    home = tmp_path / "home"
    home.mkdir()
    without_credentials(monkeypatch, home)
    return home


@pytest.fixture
def wandb() -> Iterator[Any]:
    """The library, which keeps a process and settings of its own, stopped afterwards."""
    import wandb

    wandb.teardown()
    yield wandb
    wandb.teardown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))


def fail_after_a_row(folder: Path, mode: str) -> None:
    with loggers(folder, mode, **SETTINGS) as made:
        log(made, "unlearning", 0, {"loss": 2.5})
        raise ZeroDivisionError


# The CSV, without W&B


def test_all_trainings_of_a_run_are_in_one_csv_in_its_folder(folder: Path, tiny: Any) -> None:
    with loggers(folder, "disabled", **SETTINGS) as made:
        assert [type(logger) for logger in made] == [MetricsCSV]
        tiny.fit(tiny.module(Original, batch_size=1, epochs=2), loggers=made)
        tiny.fit(tiny.module(batch_size=1, epochs=2), loggers=made)
    found = [(name, int(row["step"])) for row in rows(folder) for name in row if name != "step"]
    assert found == [("original/loss", 0), ("original/loss", 50), ("unlearning/loss", 0), ("unlearning/loss", 50)]
    assert [path.name for path in folder.iterdir()] == ["metrics.csv"]


def test_disabled_needs_no_wandb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import raises ImportError now
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with pytest.raises(ZeroDivisionError):
        fail_after_a_row(folder, "disabled")
    assert rows(folder) == ONE_ROW
    with pytest.raises(ImportError):
        fail_after_a_row(folder, "offline")


def test_no_file_imports_wandb_at_its_top() -> None:
    package = Path(dau_lightning.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "wandb" for name in names), path


# Credentials


def test_credentials_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_credentials()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert has_credentials()
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert not has_credentials()


NETRC = "machine {} login user password " + "a" * 40 + "\n"


@pytest.mark.parametrize(
    ("text", "url", "found"),
    [
        (NETRC.format("api.wandb.ai"), None, True),
        (NETRC.format("example.org"), None, False),
        (NETRC.format("example.org") + NETRC.format("api.wandb.ai"), None, True),
        (NETRC.format("wandb.example.org"), "https://wandb.example.org/", True),
        (NETRC.format("wandb.example.org"), "http://wandb.example.org", True),
        (NETRC.format("api.wandb.ai"), "https://wandb.example.org", False),
        ("", None, False),
        ("this is no netrc file", None, False),
    ],
)
def test_credentials_may_be_in_the_netrc_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, url: str | None, found: bool
) -> None:
    if url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
    (home / "netrc").write_text(text)
    assert has_credentials() is found
    (home / "netrc").rename(home / ".netrc")
    monkeypatch.delenv("NETRC")
    assert has_credentials() is found


@pytest.mark.parametrize(
    ("mode", "key", "attempted"),
    [
        ("auto", True, ["online", "offline"]),
        ("online", True, ["online", "offline"]),
        ("offline", True, ["offline"]),
        ("auto", False, ["offline"]),
        ("online", False, ["offline"]),
    ],
)
@pytest.mark.filterwarnings("ignore:wandb.mode=online needs credentials")
def test_a_run_goes_online_only_with_credentials(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any, mode: str, key: bool, attempted: list[str]
) -> None:
    modes: list[str] = []

    def init(*, mode: str, **_: Any) -> Any:
        modes.append(mode)
        raise wandb.Error("seen enough")

    monkeypatch.setenv("WANDB_API_KEY", "a" * 40 if key else "")
    monkeypatch.setattr(wandb, "init", init)
    with pytest.warns(UserWarning, match="cannot be started"), loggers(folder, mode, **SETTINGS) as made:
        assert len(made) == 1
    assert modes == attempted


def test_online_without_credentials_is_warned_of(folder: Path, wandb: Any) -> None:
    with (
        pytest.warns(UserWarning, match="wandb.mode=online needs credentials .* this run is kept offline"),
        loggers(folder, "online", **SETTINGS),
    ):
        assert wandb.run.settings.mode == "offline"


# W&B itself, about a second a run


def test_a_folder_that_wandb_cannot_write_costs_a_warning_and_no_row(folder: Path, wandb: Any) -> None:
    (folder / "wandb").write_text("a file where a folder should be")
    with (
        pytest.warns(UserWarning, match="cannot be started.*metrics.csv has every row"),
        loggers(folder, "auto", **SETTINGS) as made,
    ):
        log(made, "unlearning", 0, {"loss": 2.5})
    assert rows(folder) == ONE_ROW


def lose_the_service(folder: Path) -> None:
    """A run whose process of W&B is killed in the middle."""
    torch.set_num_threads(1)  # this process was forked
    with warnings.catch_warnings(record=True) as caught, loggers(folder, "auto", **SETTINGS) as made:
        warnings.simplefilter("always")
        log(made, "unlearning", 0, {"loss": 2.5})
        children = [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
        for pid in children:
            if b"wandb" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        for step in range(1, 200):
            log(made, "unlearning", step, {"loss": 1.5})
    (folder / "said").write_text("".join(str(warning.message) for warning in caught if warning.category is UserWarning))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_wandb_killed_in_the_middle_costs_a_warning_and_no_row(folder: Path) -> None:
    process = get_context("fork").Process(target=lose_the_service, args=(folder,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert len(rows(folder)) == 200
    warning = r"Weights & Biases stopped .* metrics.csv has every row, and `wandb sync .* sends .*"
    assert re.fullmatch(warning, (folder / "said").read_text())


def test_each_run_of_a_process_has_a_wandb_run_of_its_own(folder: Path, wandb: Any) -> None:
    for count, values in enumerate(({"loss": 2.5}, {"accuracy": 0.5}), 1):
        with loggers(folder, "auto", **SETTINGS) as made:
            assert len(made) == 2
            assert wandb.run.settings.mode == "offline"
            log(made, "unlearning", 50, values)
        assert wandb.run is None
        assert len(runs(folder)) == count
    wandb.teardown()  # files are complete once its process has ended
    contents = [path.read_bytes() for path in sorted(runs(folder), key=lambda path: path.stat().st_mtime_ns)]
    assert [b"unlearning/loss" in content for content in contents] == [True, False]
    assert [b"unlearning/accuracy" in content for content in contents] == [False, True]


def test_a_run_that_fails_ends_its_wandb_run(folder: Path, wandb: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_after_a_row(folder, "offline")
    assert wandb.run is None
    assert len(runs(folder)) == len(rows(folder)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "url"), [("a" * 40, "http://127.0.0.1:9"), ("too short", "https://api.wandb.ai")], ids=["no network", "bad key"]
)
def test_a_run_that_cannot_go_online_is_kept_offline_with_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any, key: str, url: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setattr(tracking, "PATIENCE", 2)
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with loggers(folder, "auto", **SETTINGS) as made:
            waited = time.monotonic() - start
            log(made, "unlearning", 0, {"loss": 2.5})
    (warning,) = (str(warning.message) for warning in caught if warning.category is UserWarning)
    assert "Weights & Biases cannot be reached" in warning
    assert waited < 6
    wandb.teardown()  # files are complete once its process has ended
    (kept,) = runs(folder)
    assert b"unlearning/loss" in kept.read_bytes()
    assert rows(folder) == ONE_ROW


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, which the program ignores
def test_an_api_key_is_in_no_file_and_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "5ec8e7" * 6 + "abcd"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="cannot be reached"):
        printed = run("baseline=finetune", "baseline.epochs=1", *(each for each in TINY if "wandb" not in each))
    wandb.teardown()  # files are complete once its process has ended
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in written)
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert secret not in printed + "".join(capsys.readouterr())


def test_a_network_that_fails_at_the_end_costs_a_minute_at_most(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any
) -> None:
    class Stuck:
        def finish(self, exit_code: int) -> None:
            raise TimeoutError

    given: list[Any] = []
    monkeypatch.setattr(wandb, "init", lambda settings, **_: (given.append(settings), Stuck())[1])
    with pytest.warns(UserWarning, match=r"stopped \(TimeoutError\); the run goes on"), loggers(folder, "offline", **SETTINGS):
        pass
    assert given[0].finish_timeout == tracking.LAST_PATIENCE <= 60
    assert given[0].finish_timeout_raises

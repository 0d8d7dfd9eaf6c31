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

import lightning as L
import pytest
import torch

import dau_lightning
from dau_lightning.baseline.original import Original
from dau_lightning.tracking import wandb as tracking
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.tracking.wandb import has_credentials, loggers
from dau_lightning.training.module import log
from tests.tiny import TINY

SETTINGS = {"project": "tests", "name": "tiny", "settings": {"seed": 0, "baseline": {"lr": 0.1}}}


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home / name))
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
    (folder / "config.yaml").write_text("seed: 0\n")  # a run folder is not empty
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))


# The CSV


def test_every_metric_goes_to_a_csv_in_the_run_folder(folder: Path) -> None:
    with loggers(folder, "disabled", **SETTINGS) as made:
        assert [type(logger) for logger in made] == [MetricsCSV]
        log(made, "original", 0, {"loss": 2.5})
        log(made, "unlearning", 50, {"loss": 1.5, "regulariser": 0.25})
    first, second = rows(folder)
    assert first == {"original/loss": "2.5", "step": "0"}
    assert second == {"unlearning/loss": "1.5", "unlearning/regulariser": "0.25", "step": "50"}
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "metrics.csv"]


def test_the_csv_holds_all_trainings_of_a_run(folder: Path, tiny: Any) -> None:
    with loggers(folder, "disabled", **SETTINGS) as made:
        tiny.fit(tiny.module(Original, batch_size=1, epochs=2), loggers=made)
        tiny.fit(tiny.module(batch_size=1, epochs=2), loggers=made)
    found = [(name, int(row["step"])) for row in rows(folder) for name in row if name != "step"]
    assert found == [("original/loss", 0), ("original/loss", 50), ("unlearning/loss", 0), ("unlearning/loss", 50)]


def test_the_csv_is_there_before_the_end(folder: Path, tiny: Any) -> None:
    class Look(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            found.append(len(rows(folder)))  # what a killed run would leave

    found: list[int] = []
    with loggers(folder, "disabled", **SETTINGS) as made:
        tiny.fit(tiny.module(batch_size=1, epochs=2), Look(), loggers=made)
    assert found == [1, 2]


def test_a_run_that_fails_keeps_its_rows(folder: Path) -> None:
    def fail() -> None:
        with loggers(folder, "disabled", **SETTINGS) as made:
            log(made, "unlearning", 0, {"loss": 2.5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows(folder) == [{"unlearning/loss": "2.5", "step": "0"}]


def test_numbers_are_not_rounded(folder: Path) -> None:
    with loggers(folder, "disabled", **SETTINGS) as made:
        log(made, "row/dau", 0, {"UA": 100 / 3})
    assert float(rows(folder)[0]["row/dau/UA"]) == 100 / 3  # as in result.json


def test_disabled_imports_no_wandb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # whoever imports it now gets an ImportError
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with loggers(folder, "disabled", **SETTINGS) as made:
        log(made, "unlearning", 0, {"loss": 2.5})
    with pytest.raises(ImportError):
        loggers(folder, "offline", **SETTINGS).__enter__()


def test_no_file_imports_wandb_by_being_imported() -> None:
    package = Path(dau_lightning.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "wandb" for name in names), path


# Credentials


def test_no_credentials() -> None:
    assert not has_credentials()


def test_credentials_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_credentials_in_the_netrc_file(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, text: str, url: str | None, found: bool
) -> None:
    if url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
    (nobody / "netrc").write_text(text)
    assert has_credentials() is found
    (nobody / "netrc").rename(nobody / ".netrc")
    monkeypatch.delenv("NETRC")
    assert has_credentials() is found


@pytest.mark.parametrize(("mode", "started"), [("auto", "online"), ("online", "online"), ("offline", "offline")])
def test_credentials_decide_the_mode_only_when_it_is_auto(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any, mode: str, started: str
) -> None:
    modes: list[str] = []

    def init(*, mode: str, **_: Any) -> Any:
        modes.append(mode)
        raise wandb.Error("seen enough")

    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(wandb, "init", init)
    with pytest.warns(UserWarning, match="cannot be started"), loggers(folder, mode, **SETTINGS) as made:
        assert len(made) == 1
    assert modes == [started, "offline"][: 1 + (mode != "offline")]


def test_online_without_credentials_asks_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any) -> None:
    modes: list[str] = []

    def init(*, mode: str, **_: Any) -> Any:
        modes.append(mode)
        raise ZeroDivisionError

    monkeypatch.setattr(wandb, "init", init)
    with (
        pytest.warns(UserWarning, match="cannot be started"),
        pytest.warns(UserWarning, match="needs credentials"),
        loggers(folder, "online", **SETTINGS),
    ):
        assert modes == ["offline"]


# Weights & Biases itself, about a second a run


def test_a_folder_that_it_cannot_write_costs_a_warning_and_no_row(folder: Path, wandb: Any) -> None:
    (folder / "wandb").write_text("a file where a folder should be")
    with (
        pytest.warns(UserWarning, match="cannot be started.*metrics.csv has every row"),
        loggers(folder, "auto", **SETTINGS) as made,
    ):
        log(made, "unlearning", 0, {"loss": 2.5})
    assert rows(folder) == [{"unlearning/loss": "2.5", "step": "0"}]


def lose_the_service(folder: Path) -> None:
    """A run whose Weights & Biases is killed in the middle."""
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
def test_killed_in_the_middle_it_costs_a_warning_and_no_row(folder: Path) -> None:
    process = get_context("fork").Process(target=lose_the_service, args=(folder,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert len(rows(folder)) == 200
    assert re.fullmatch(
        r"Weights & Biases stopped .* metrics.csv has every row, and `wandb sync .* sends .*", (folder / "said").read_text()
    )


def test_offline_without_credentials_and_each_run_by_itself(folder: Path, wandb: Any) -> None:
    for count, values in enumerate(({"loss": 2.5}, {"accuracy": 0.5}), 1):
        with loggers(folder, "auto", **SETTINGS) as made:
            assert len(made) == 2
            assert wandb.run.settings.mode == "offline"
            log(made, "unlearning", 50, values)
        assert wandb.run is None
        assert len(runs(folder)) == count
    wandb.teardown()  # files are whole once its process is gone
    contents = [path.read_bytes() for path in sorted(runs(folder), key=lambda path: path.stat().st_mtime_ns)]
    assert [b"unlearning/loss" in content for content in contents] == [True, False]
    assert [b"unlearning/accuracy" in content for content in contents] == [False, True]


def test_a_run_that_fails_ends_too(folder: Path, wandb: Any) -> None:
    def fail() -> None:
        with loggers(folder, "offline", **SETTINGS) as made:
            log(made, "unlearning", 0, {"loss": 2.5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert wandb.run is None
    assert len(runs(folder)) == len(rows(folder)) == 1


@pytest.mark.parametrize(
    ("key", "url"), [("a" * 40, "http://127.0.0.1:9"), ("too short", "https://api.wandb.ai")], ids=["no network", "no key"]
)
def test_what_keeps_it_from_going_online_costs_a_warning(
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
    assert [str(warning.message) for warning in caught if "Weights & Biases cannot be reached" in str(warning.message)] == [
        str(warning.message) for warning in caught if warning.category is UserWarning
    ]
    assert waited < 6
    assert len(runs(folder)) == 1
    wandb.teardown()  # files are whole once its process is gone
    assert b"unlearning/loss" in runs(folder)[0].read_bytes()
    assert rows(folder) == [{"unlearning/loss": "2.5", "step": "0"}]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, which the program ignores
def test_a_secret_stands_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "5ec8e7" * 6 + "abcd"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="cannot be reached"):
        printed = run("baseline=finetune", "baseline.epochs=1", *(each for each in TINY if "wandb" not in each))
    wandb.teardown()  # files are whole once its process is gone
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in written)
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert secret not in printed + "".join(capsys.readouterr())


def test_a_network_that_goes_away_costs_a_minute_at_most(folder: Path, monkeypatch: pytest.MonkeyPatch, wandb: Any) -> None:
    class Stuck:
        def finish(self, exit_code: int) -> None:
            raise TimeoutError

    given: list[Any] = []
    monkeypatch.setattr(wandb, "init", lambda settings, **_: (given.append(settings), Stuck())[1])
    with pytest.warns(UserWarning, match=r"stopped \(TimeoutError\); the run goes on"), loggers(folder, "offline", **SETTINGS):
        pass
    assert given[0].finish_timeout == tracking.LAST_PATIENCE <= 60
    assert given[0].finish_timeout_raises

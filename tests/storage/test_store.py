import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.storage import store
from dau_lightning.storage.seal import save_tensors
from dau_lightning.storage.store import Entry, Store, get, get_or_train, resume_path

CONTENT: dict[str, Any] = {
    "data": "d" * 64,
    "network": {"width": 4, "_target_": "somewhere"},
    "recipe": {"epochs": 3, "lr": 0.1, "milestones": [1, 2]},
    "precision": "32-true",
    "seed": 0,
}


class Training:
    """Counts how often it is called."""

    def __init__(self, seed: int = 0) -> None:
        self.calls, self.weights = 0, {"a.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))}

    def __call__(self) -> tuple[dict[str, Tensor], float, dict[str, Any]]:
        self.calls += 1
        return self.weights, 12.5, {"found": 0.1, "measured_on": "1 x cpu"}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Store(tmp_path / "deep" / "store").path("original", CONTENT)


def test_an_entry_is_trained_once_and_read_afterwards(path: Path) -> None:
    training = Training()
    first, trained = get_or_train(path, CONTENT, training)
    second, again = get_or_train(path, CONTENT, training)
    assert (trained, again, training.calls) == (True, False, 1)
    for entry in (first, second, get(path, dict(reversed(CONTENT.items())))):
        assert entry is not None
        assert torch.equal(entry.weights["a.weight"], training.weights["a.weight"])
        assert (entry.path, entry.seconds, entry.findings) == (path, 12.5, {"found": 0.1, "measured_on": "1 x cpu"})
    assert files(path.parent) == [path.name]


def test_asking_for_an_entry_makes_no_folder(path: Path) -> None:
    assert get(path, CONTENT) is None
    assert not path.parent.parent.exists()


def test_every_value_of_the_content_and_the_kind_change_the_name() -> None:
    changed = [CONTENT | {name: None} for name in CONTENT]
    changed += [CONTENT | {"recipe": CONTENT["recipe"] | {"milestones": [2, 1]}}, CONTENT | {"seed": 1}, CONTENT | {"more": 1}]
    changed += [{name: value for name, value in CONTENT.items() if name != "seed"}]
    paths = [Store(Path()).path("original", content) for content in (CONTENT, *changed)]
    paths.append(Store(Path()).path("retrain", CONTENT))
    assert len(set(paths)) == len(paths)
    assert Store(Path()).path("original", dict(reversed(CONTENT.items()))) == paths[0]


def test_entries_of_an_older_recipe_number_are_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    get_or_train(path, CONTENT, training)
    before = path.read_bytes()
    monkeypatch.setattr(store, "RECIPE_NUMBER", store.RECIPE_NUMBER + 1)
    newer = Store(path.parent).path("original", CONTENT)
    assert newer != path
    assert get_or_train(newer, CONTENT, training)[1]
    assert path.read_bytes() == before


# Files that cannot be used; how a seal is broken is in `test_seal.py`.


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def of_other_content(path: Path) -> None:
    store._write(CONTENT | {"seed": 1}, Entry(Training(1).weights, 1.0, path, {}))


def of_another_kind(path: Path) -> None:
    other = Store(path.parents[1] / "another").path("retrain", CONTENT)
    get_or_train(other, CONTENT, Training(1))
    path.write_bytes(other.read_bytes())


def of_another_recipe_number(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "RECIPE_NUMBER", store.RECIPE_NUMBER + 1)
        store._write(CONTENT, Entry(Training(1).weights, 1.0, path, {}))


def no_entry(path: Path) -> None:
    save_tensors(path, Training().weights, {})


@pytest.mark.parametrize("spoil", [truncate, of_other_content, of_another_kind, of_another_recipe_number, no_entry])
def test_a_bad_file_is_set_aside_with_a_warning_and_built_again(path: Path, spoil: Any) -> None:
    get_or_train(path, CONTENT, Training())
    for _ in range(2):  # a second bad file takes the place of the first
        spoil(path)
        spoiled, training = path.read_bytes(), Training()
        with pytest.warns(UserWarning, match=rf"{path.name} cannot be used \(.+\); it is set aside as .*\.bad"):
            assert get(path, CONTENT) is None
        assert files(path.parent) == [f"{path.name}.bad"]
        assert path.with_name(f"{path.name}.bad").read_bytes() == spoiled
        assert get_or_train(path, CONTENT, training)[1]
        assert get(path, CONTENT) is not None  # without a warning


# Trainings and writes that fail


def test_a_training_that_fails_leaves_nothing(path: Path) -> None:
    def fails() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get_or_train(path, CONTENT, fails)
    assert files(path.parent) == []
    assert get_or_train(path, CONTENT, Training())[1]  # no lock is held


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_a_write_that_fails_leaves_the_checkpoint_and_no_entry(path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space left")

    path.parent.mkdir(parents=True)
    resume_path(path).touch()
    with monkeypatch.context() as patch:
        patch.setattr(f"dau_lightning.storage.atomic.{where}", fails)
        with pytest.raises(InputError, match=r"cannot write .*no space left"):
            get_or_train(path, CONTENT, Training())
    assert files(path.parent) == [resume_path(path).name]
    get_or_train(path, CONTENT, Training())
    assert files(path.parent) == [path.name]


# Many at once

CHILDREN = """
import os, signal, sys, time
from pathlib import Path
import torch
from dau_lightning.storage.store import Store, get_or_train

root, count, rounds, dies = Path(sys.argv[1]), *map(int, sys.argv[2:])

def child(number, turn):
    def train():
        fd = os.open(root / f"trained-{turn}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"x")
        time.sleep(0.1)
        if dies and os.path.getsize(root / f"trained-{turn}") == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # the first holder of the lock dies with it
        return {"weight": torch.arange(5.0)}, 3.0, {}

    (root / f"ready-{turn}-{number}").touch()
    while len(list(root.glob(f"ready-{turn}-*"))) < count:
        time.sleep(0.005)
    content = {"seed": turn}
    entry, trained = get_or_train(Store(root).path("original", content), content, train)
    assert torch.equal(entry.weights["weight"], torch.arange(5.0)), entry

for turn in range(rounds):
    children = []
    for number in range(count):
        if (pid := os.fork()) == 0:
            child(number, turn)
            os._exit(0)
        children.append(pid)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    print(*codes, os.path.getsize(root / f"trained-{turn}"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("dies", "line"), [(0, "0 0 0 0 0 0 0 0 1"), (1, "-9 0 0 0 0 0 0 0 2")])
def test_of_eight_processes_that_want_the_same_entry_one_trains(tmp_path: Path, dies: int, line: str) -> None:
    command = [sys.executable, "-W", "error", "-c", CHILDREN, str(tmp_path), "8", "3", str(dies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.stdout.splitlines() == [line] * 3, done.stderr
    assert len(list(tmp_path.glob("original-*.safetensors"))) == 3
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_training_of_one_entry_does_not_block_another(path: Path) -> None:
    other, content = Training(), CONTENT | {"seed": 1}

    def train() -> tuple[dict[str, Tensor], float, dict[str, Any]]:
        arguments = Store(path.parent).path("original", content), content, other
        thread = threading.Thread(target=get_or_train, args=arguments)
        thread.start()
        thread.join(timeout=20)
        assert not thread.is_alive()
        return Training()()

    get_or_train(path, CONTENT, train)
    assert other.calls == 1


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    Store(tmp_path / "store").check_writable()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"store\.root must be a folder that can be written, got .*file"):
        Store(tmp_path / "file").check_writable()

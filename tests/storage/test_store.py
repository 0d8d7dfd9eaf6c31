import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.storage import store
from dau_lightning.storage.store import Store, digest, save_weights

CONTENT: dict[str, Any] = {
    "data": "d" * 64,
    "network": {"width": 4, "_target_": "somewhere"},
    "recipe": {"epochs": 3, "lr": 0.1, "milestones": [1, 2]},
    "precision": "32-true",
    "seed": 0,
}


def weights(seed: int = 0) -> dict[str, Tensor]:
    """As a state dict: floats, halves, a scalar, a tensor that is not contiguous."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "a.num_batches_tracked": torch.tensor(7),
        "b.weight": torch.randn(4, 3, generator=generator).t(),
        "b.half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "c.weight": torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last),
    }


class Training:
    """Counts how often it is wanted."""

    def __init__(self, seed: int = 0) -> None:
        self.calls, self.seed = 0, seed

    def __call__(self) -> tuple[dict[str, Tensor], float, dict[str, float]]:
        self.calls += 1
        return weights(self.seed), 12.5, {"found": 0.1}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


def test_trains_once_and_reads_afterwards(root: Path) -> None:
    training = Training()
    first, trained = Store(root).get_or_train("original", CONTENT, training)
    second, again = Store(root).get_or_train("original", CONTENT, training)
    assert (trained, again, training.calls) == (True, False, 1)
    assert equal(first.weights, weights())
    assert equal(second.weights, weights())
    assert first.seconds == second.seconds == 12.5
    assert first.findings == second.findings == {"found": 0.1}
    assert first.path == second.path == Store(root).path("original", CONTENT)
    assert files(root) == [first.path.name]
    assert first.path.name.startswith("original-")


def test_nothing_is_made_by_asking(root: Path) -> None:
    assert Store(root).get("original", CONTENT) is None
    assert not root.parent.exists()


def changes() -> list[dict[str, Any]]:
    found = [CONTENT | {name: None} for name in CONTENT]
    found += [CONTENT | {"network": CONTENT["network"] | {"width": 5}}, CONTENT | {"recipe": CONTENT["recipe"] | {"lr": 0.2}}]
    found += [CONTENT | {"recipe": CONTENT["recipe"] | {"milestones": [2, 1]}}, CONTENT | {"seed": 1}, CONTENT | {"more": 1}]
    return [*found, {name: value for name, value in CONTENT.items() if name != "seed"}]


def test_every_field_of_the_content_and_the_kind_change_the_path(root: Path) -> None:
    paths = [Store(root).path("original", content) for content in (CONTENT, *changes())]
    paths.append(Store(root).path("retrain", CONTENT))
    assert len(set(paths)) == len(paths)
    assert all(path.parent == root and path.suffix == ".safetensors" for path in paths)


@pytest.mark.parametrize("name", ["RECIPE_NUMBER", "FORMAT"])
def test_the_recipe_number_and_the_format_change_the_path(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    training, before = Training(), Store(root).path("original", CONTENT)
    Store(root).get_or_train("original", CONTENT, training)
    monkeypatch.setattr(store, name, getattr(store, name) + 1)
    assert Store(root).path("original", CONTENT) != before
    assert Store(root).get_or_train("original", CONTENT, training)[1]
    assert training.calls == 2
    assert before.is_file()  # of the older code, still of use to it


def test_the_order_of_the_content_does_not_matter(root: Path) -> None:
    backwards = dict(reversed(CONTENT.items()))
    assert Store(root).path("original", backwards) == Store(root).path("original", CONTENT)
    Store(root).get_or_train("original", CONTENT, Training())
    assert Store(root).get("original", backwards) is not None


# What cannot be used


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # among the numbers, which stand at the end
    path.write_bytes(data)


def other_words(path: Path) -> None:
    data = path.read_bytes()
    assert b'"seconds":"12.5"' in data
    path.write_bytes(data.replace(b'"seconds":"12.5"', b'"seconds":"92.5"'))


def foreign(path: Path) -> None:
    store._write(CONTENT | {"seed": 1}, store.Entry(weights(1), 1.0, path))


def of_another_kind(path: Path) -> None:
    entry, _ = Store(path.parent / "another").get_or_train("retrain", CONTENT, Training(1))
    path.write_bytes(entry.path.read_bytes())


def foreign_safetensors(path: Path) -> None:
    save_file(weights_contiguous(), path)  # of another program: no metadata


def of_another_version(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "RECIPE_NUMBER", store.RECIPE_NUMBER + 1)
        store._write(CONTENT, store.Entry(weights(), 1.0, path))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": Bomb()}))


def torch_saved(path: Path) -> None:
    torch.save(weights(), path)


def weights_contiguous() -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in weights().items()}


class Bomb:
    """Would say so if anyone unpickled it."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a file was unpickled",)


SPOILS = [
    truncated,
    empty,
    flipped,
    other_words,
    foreign,
    of_another_kind,
    of_another_version,
    foreign_safetensors,
    pickled,
    torch_saved,
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_bad_file_is_set_aside_with_a_warning_and_built_again(root: Path, spoil: Any) -> None:
    entry, _ = Store(root).get_or_train("original", CONTENT, Training())
    spoil(entry.path)
    spoiled = entry.path.read_bytes()
    training = Training()
    with pytest.warns(UserWarning, match=rf"{entry.path.name} cannot be used \(.+\); it is set aside as .*\.bad"):
        again, trained = Store(root).get_or_train("original", CONTENT, training)
    assert (trained, training.calls) == (True, 1)
    assert equal(again.weights, weights())
    assert entry.path.with_name(f"{entry.path.name}.bad").read_bytes() == spoiled
    assert {entry.path.name, entry.path.with_name(f"{entry.path.name}.bad").name} == set(files(root)) - {"another"}
    found = Store(root).get("original", CONTENT)  # without a warning
    assert found is not None
    assert equal(found.weights, weights())


def test_get_sets_aside_too(root: Path) -> None:
    entry, _ = Store(root).get_or_train("original", CONTENT, Training())
    flipped(entry.path)
    with pytest.warns(UserWarning, match="its bytes changed"):
        assert Store(root).get("original", CONTENT) is None
    assert not entry.path.exists()


def test_a_second_bad_file_takes_the_place_of_the_first(root: Path) -> None:
    for _ in range(2):
        entry, _ = Store(root).get_or_train("original", CONTENT, Training())
        truncated(entry.path)
        with pytest.warns(UserWarning, match=r"\.bad"):
            assert Store(root).get("original", CONTENT) is None
    assert files(root) == [entry.path.with_name(f"{entry.path.name}.bad").name]


# Nothing half-written


def test_a_training_that_fails_leaves_nothing(root: Path) -> None:
    def fails() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Store(root).get_or_train("original", CONTENT, fails)
    assert files(root) == []
    training = Training()
    assert Store(root).get_or_train("original", CONTENT, training)[1]  # nor a lock that is held
    assert training.calls == 1


@pytest.mark.parametrize("where", ["atomic.os.fsync", "atomic.os.replace", "store.save_file"])
def test_a_write_that_fails_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(f"dau_lightning.storage.{where}", fails)
        with pytest.raises(InputError, match=r"cannot write .*no space left"):
            Store(root).get_or_train("original", CONTENT, Training())
    assert files(root) == []


def test_save_weights_replaces_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "unlearned.safetensors"
    save_weights(path, weights(0), {"data_hash": "d"})
    before, seen, replace = path.read_bytes(), [], os.replace
    monkeypatch.setattr(
        "dau_lightning.storage.atomic.os.replace", lambda *names: (seen.append(path.read_bytes()), replace(*names))
    )
    save_weights(path, weights(1), {"data_hash": "e"})
    assert seen == [before]  # whole until the very end
    assert path.read_bytes() != before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_save_weights_takes_parameters(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    save_weights(tmp_path / "w.safetensors", dict(layer.named_parameters()), {})
    assert (tmp_path / "w.safetensors").is_file()


# digest


def test_digest_sees_name_type_shape_and_bytes() -> None:
    variants = [weights()]
    variants += [{("z" if name == "a.weight" else name): tensor for name, tensor in weights().items()}]
    variants += [weights() | {"a.weight": weights()["a.weight"].view(4, 3)}]
    variants += [weights() | {"a.weight": weights()["a.weight"].view(torch.int32)}]
    variants += [weights() | {"a.num_batches_tracked": torch.tensor(8)}]
    assert len({digest(variant) for variant in variants}) == len(variants)
    assert digest(weights()) == digest(dict(reversed(weights().items()))) == digest(weights_contiguous())


# Many at once

CHILDREN = """
import os, signal, sys, time
from pathlib import Path
import torch
from dau_lightning.storage.store import Store

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
    entry, trained = Store(root).get_or_train("original", {"seed": turn}, train)
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


@pytest.mark.parametrize(("dies", "line"), [(0, "0 0 0 0 0 0 0 0 1"), (1, "-9 0 0 0 0 0 0 0 2")])
def test_eight_processes_that_want_the_same_train_once(tmp_path: Path, dies: int, line: str) -> None:
    command = [sys.executable, "-W", "error", "-c", CHILDREN, str(tmp_path), "8", "3", str(dies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.stdout.splitlines() == [line] * 3, done.stderr
    assert len(list(tmp_path.glob("original-*.safetensors"))) == 3
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


def test_different_entries_do_not_wait_for_each_other(root: Path) -> None:
    other = Training()

    def train() -> tuple[dict[str, Tensor], float, dict[str, float]]:
        thread = threading.Thread(target=Store(root).get_or_train, args=("original", CONTENT | {"seed": 1}, other))
        thread.start()
        thread.join(timeout=20)
        assert not thread.is_alive()
        return weights(), 1.0, {}

    Store(root).get_or_train("original", CONTENT, train)
    assert other.calls == 1


@pytest.mark.filterwarnings("ignore:.* cannot be used")
def test_two_that_find_the_same_bad_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, _ = Store(root).get_or_train("original", CONTENT, Training())
    truncated(entry.path)
    read = store._read

    def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(store, "_read", read)
        try:
            return read(*arguments)
        finally:  # before this one sets it aside, another does
            Store(root).get("original", CONTENT)

    monkeypatch.setattr(store, "_read", slow)
    Store(root).get_or_train("original", CONTENT, Training())

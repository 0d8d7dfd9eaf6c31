"""Works on a case in child processes."""

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import NotEnough, TimeOver
from dau_lightning.audit.further_models import reference, references
from dau_lightning.audit.parallel import Share, in_parallel
from dau_lightning.base.error import TrainingError
from dau_lightning.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def two_cores(monkeypatch):
    """Torch may use two threads, whatever the machine has."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("reference-*.safetensors")}


def with_store(case: Case, folder: Path) -> Case:
    return replace(case, models={}, references=3, training=replace(case.training, store=Store(folder)))


def test_models_are_bit_for_bit_those_of_one_process(usual, tmp_path, monkeypatch, capfd):
    one, two = (with_store(usual, tmp_path / name) for name in ("one", "two"))
    references(one)
    capfd.readouterr()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    references(two)
    assert set(one.models) == set(two.models) == {"reference 0", "reference 1", "reference 2"}
    for kind, model in one.models.items():
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, two.models[kind].state_dict()[name])
    printed = capfd.readouterr()
    assert not printed.out
    assert "reference models" in printed.err
    assert "3/3" in printed.err
    assert set(stored(tmp_path / "one")) == set(stored(tmp_path / "two"))
    monkeypatch.setattr("dau_lightning.training.training.Training.fit", None)  # nothing is left to train
    references(with_store(usual, tmp_path / "two"))


def numbered(case: Case, number: int) -> tuple[int, int, int, int]:
    return number, torch.get_num_threads(), os.getpid(), len(case.models)


@pytest.mark.usefixtures("two_cores")
def test_results_keep_their_order_and_each_child_has_one_thread(usual):
    found = in_parallel(usual, [partial(numbered, number=number) for number in range(4)], "numbers")
    assert [number for number, *_ in found] == [0, 1, 2, 3]
    assert {threads for _, threads, *_ in found} == {1}
    assert os.getpid() not in {process for *_, process, _ in found}
    assert {models for *_, models in found} == {0}  # the children are not sent what they do not need


def test_with_one_thread_this_process_does_the_work(usual):
    assert in_parallel(usual, [partial(numbered, number=5)], "numbers") == [(5, 1, os.getpid(), 4)]


@pytest.mark.usefixtures("two_cores")
def test_after_the_time_no_further_training_begins(usual, tmp_path):
    case = replace(with_store(usual, tmp_path / "store"), deadline=time.monotonic() - 1)
    with pytest.raises(TimeOver, match="the minutes were over before reference 0"):
        references(case)
    assert not stored(tmp_path / "store")


def fails_or_notes(case: Case, number: int) -> None:
    if number == 0:
        raise NotEnough("too few")
    time.sleep(0.5)
    (case.training.store.root / str(number)).touch()


@pytest.mark.usefixtures("two_cores")
def test_after_a_failure_no_further_work_begins(usual, tmp_path):
    case = with_store(usual, tmp_path)
    with pytest.raises(NotEnough, match="too few"):
        in_parallel(case, [partial(fails_or_notes, number=number) for number in range(12)], "notes")
    assert 1 <= len(list(tmp_path.glob("[0-9]*"))) < 11


def killed(case: Case) -> None:
    os._exit(9)


@pytest.mark.usefixtures("two_cores")
def test_a_killed_child_is_said_in_one_line(usual):
    with pytest.raises(TrainingError, match=r"a child process was killed.*the same command goes on"):
        in_parallel(usual, [killed], "killed")


def sleeps(case: Case) -> None:
    time.sleep(60)


def interrupted(*_: object) -> None:
    time.sleep(1)
    raise KeyboardInterrupt


@pytest.mark.usefixtures("two_cores")
def test_an_interrupt_does_not_wait_for_the_children(usual, monkeypatch):
    monkeypatch.setattr("dau_lightning.audit.parallel._watch", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_parallel(usual, [sleeps, sleeps, sleeps], "sleeping")
    assert time.monotonic() - started < 30


def test_the_share_of_a_training_is_told(usual):
    shares, seen = [0.0, 0.0], list[float]()

    class Watched(Share):
        def on_train_batch_start(self, *arguments, **more):
            super().on_train_batch_start(*arguments, **more)
            seen.append(shares[1])

    usual.training = replace(usual.training, bar=lambda _: Watched(shares, 1))
    reference(usual, usual.split.retain, "watched")
    assert seen == [step / len(seen) for step in range(len(seen))]

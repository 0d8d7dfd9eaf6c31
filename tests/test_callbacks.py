import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._dynamo.callback import CallbackTrigger, callback_handler
from torchmetrics import Metric

from dau_lightning import loader
from dau_lightning.callbacks import Clock, Evaluation, Guard, PhaseBar
from dau_lightning.descent import Descent
from dau_lightning.error import TrainingError
from dau_lightning.module import LOG_EVERY

NAN, INF = float("nan"), float("inf")


class Breaking(Descent):
    """Gives a loss that is not finite at chosen steps, and destroys the weights by it."""

    breaks: Callable[[int], bool] = staticmethod(lambda step: False)
    value = NAN

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.cross_entropy(batch["retain"])
        return loss * self.value if self.breaks(self.step) else loss


class History(L.Callback):
    """The network's state before every step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.states.append({name: tensor.clone() for name, tensor in pl_module.defender.network.state_dict().items()})


def break_at(tiny: Any, step: int, value: float = NAN, epochs: int = 6) -> tuple[str, Path, History]:
    """Train 36 steps an epoch; the message, the file of the last good weights, and all states before."""
    module, history, path = tiny.module(Breaking, batch_size=1, epochs=epochs), History(), tiny.folder / "good.safetensors"
    module.breaks, module.value = (lambda now: now == step), value
    with pytest.raises(TrainingError) as caught:
        tiny.fit(module, Guard("Somebody", path), history)
    return str(caught.value), path, history


@pytest.mark.parametrize(("step", "looked_at"), [(7, 50), (49, 50), (73, 100), (100, 108)])
def test_guard_names_phase_and_step(tiny: Any, step: int, looked_at: int) -> None:
    message, path, history = break_at(tiny, step, epochs=3)
    assert message.startswith(f"Somebody: the loss is nan at step {step}; the last good weights are in {path}")
    assert "\n" not in message
    assert len(history.states) == looked_at  # the rest of the interval runs, and no more


def test_guard_stops_at_infinity_too(tiny: Any) -> None:
    assert "the loss is inf at step 3;" in break_at(tiny, 3, INF, epochs=1)[0]


@pytest.mark.parametrize(("step", "judged"), [(7, 0), (50, 0), (51, 50)])
def test_guard_leaves_weights_that_gave_a_finite_loss(tiny: Any, step: int, judged: int) -> None:
    _, path, history = break_at(tiny, step, epochs=3)
    left = load_file(path)
    assert left.keys() == history.states[0].keys()
    assert all(torch.equal(left[name], tensor) for name, tensor in history.states[judged].items())
    assert all(tensor.isfinite().all() for tensor in left.values())
    assert judged < step
    module = tiny.module()
    module.defender.network.load_state_dict(left)  # strictly


def test_guard_leaves_no_file_where_the_first_loss_is_not_finite(tiny: Any) -> None:
    message, path, _ = break_at(tiny, 0)
    assert message.startswith("Somebody: the loss is nan at step 0; no weights gave a finite loss")
    assert not path.exists()


def test_guard_is_silent_about_a_training_that_goes_well(tiny: Any) -> None:
    path = tiny.folder / "good.safetensors"
    tiny.fit(tiny.module(batch_size=1, epochs=2), Guard("Somebody", path))
    assert not path.exists()


def test_guard_looks_only_at_the_end_of_an_interval(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], Guard._look
    monkeypatch.setattr(Guard, "_look", lambda self: (looks.append(len(self.losses)), look(self))[1])
    tiny.fit(tiny.module(batch_size=1, epochs=3), Guard("Somebody", tiny.folder / "good"))
    assert LOG_EVERY == 50
    assert looks == [50, 50, 8]


def test_guard_lets_a_step_return_none(tiny: Any) -> None:
    class OneShot(Descent):  # gathers over an epoch, as later methods will, and has no loss to descend
        def training_step(self, batch: Any, batch_idx: int) -> None:
            return None

    module = tiny.module(OneShot)
    module.automatic_optimization = False
    tiny.fit(module, Guard("Somebody", tiny.folder / "good"))


def test_guard_looks_at_what_the_last_step_did(tiny: Any) -> None:
    class Explodes(Descent):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.cross_entropy(batch["retain"])
            last = self.step == self.epochs * int(self.trainer.num_training_batches) - 1
            return loss + (1e30 * (loss - loss.detach()) * 1e30 if last else 0)  # finite, unlike its gradient

    with pytest.raises(TrainingError):
        tiny.fit(tiny.module(Explodes), Guard("Somebody", tiny.folder / "good"))


# Clock


class Timed(Descent):
    """Every hook takes time of its own on a clock of the test's."""

    now = 0.0

    def setup(self, stage: str) -> None:
        self.now += 1

    def configure_optimizers(self) -> Any:
        self.now += 10
        return super().configure_optimizers()

    def on_train_start(self) -> None:
        self.now += 100

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.now += 1000
        return super().training_step(batch, batch_idx)

    def on_train_end(self) -> None:
        self.now += 100_000


def test_clock_counts_from_the_modules_start_to_the_last_step(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, clock = tiny.module(Timed), Clock()
    monkeypatch.setattr("dau_lightning.callbacks.time", SimpleNamespace(perf_counter=lambda: module.now))
    assert clock.seconds == 0
    tiny.fit(module, clock)
    assert clock.seconds == 100 + 6 * 1000
    assert module.now == 1 + 10 + 100 + 6 * 1000 + 100_000


def test_clock_stands_still_while_torch_compiles(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiles(Timed):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            with callback_handler.install_callbacks(CallbackTrigger.DYNAMO, "0/0"):
                self.now += 7
            return super().training_step(batch, batch_idx)

    module, clock, heard = tiny.module(Compiles), Clock(), len(callback_handler.start_callbacks)
    monkeypatch.setattr("dau_lightning.callbacks.time", SimpleNamespace(perf_counter=lambda: module.now))
    tiny.fit(module, clock)
    assert clock.seconds == 100 + 6 * 1000
    assert len(callback_handler.start_callbacks) == len(callback_handler.end_callbacks) == heard


# PhaseBar


def test_phase_bar_counts_all_steps_and_ends(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bar = PhaseBar("Somebody")
    tiny.fit(tiny.module(epochs=3), bar)
    assert not bar.bar.live.is_started
    (task,) = bar.bar.tasks
    assert (task.description, task.completed, task.total) == ("Somebody", 9, 9)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(r"Somebody .*9/9", printed.err)


def test_phase_bar_starts_after_what_the_module_does_first(tiny: Any) -> None:
    class Asks(Descent):
        def on_train_start(self) -> None:
            started.append(bar.bar.live.is_started)

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            started.append(bar.bar.live.is_started)
            super().on_train_batch_start(batch, batch_idx)

    started, bar = list[bool](), PhaseBar("Somebody")
    tiny.fit(tiny.module(Asks, epochs=1), bar)
    assert started == [False, True, True, True]


def test_phase_bar_ends_after_an_exception(tiny: Any) -> None:
    module, bar = tiny.module(Breaking, epochs=1), PhaseBar("Somebody")
    module.breaks = lambda step: True
    with pytest.raises(TrainingError):
        tiny.fit(module, Guard("Somebody", tiny.folder / "good"), bar)
    ended = not bar.bar.live.is_started
    bar.bar.stop()
    assert ended


def test_phase_bar_that_never_started_ends_too(tiny: Any) -> None:
    class Fails(Descent):
        def on_train_start(self) -> None:
            raise ZeroDivisionError

    bar = PhaseBar("Somebody")
    with pytest.raises(ZeroDivisionError):
        tiny.fit(tiny.module(Fails), bar)
    bar.teardown(None, None, "fit")  # type: ignore[arg-type]
    assert not bar.bar.live.is_started


# Evaluation


class Diary(Metric):
    """Keeps what an attack is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[tuple[str, Tensor, Tensor]] = []

    def update(self, role: str, logits: Tensor, targets: Tensor) -> None:
        self.fed.append((role, logits, targets))

    def compute(self) -> float:
        return float(len(self.fed))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "EVALUATION_BATCH_SIZE", 7)  # 36 = 5 * 7 + 1, 12 = 7 + 5


PARTS = ("retain", "forget", "val", "test_retain")


@pytest.mark.usefixtures("small_batches")
def test_evaluation_counts_every_sample_of_every_part_once(tiny: Any) -> None:
    module, split, right = tiny.module(), tiny.split(), {"retain": 35, "forget": 5, "val": 0, "test_retain": 17}
    module.eval()
    parts, expected = {}, {}
    for name, count in right.items():  # labels of which the network has as many right, the wrong ones at the end
        part = getattr(split, name)
        with torch.no_grad():
            predicted = module.defender.network(tiny.transform.normalise(part.images)).numpy().argmax(1)
        targets = np.where(np.arange(len(part)) < count, predicted, (predicted + 1) % 3)
        parts[name] = replace(part, targets=torch.from_numpy(targets))
        expected[name] = 100 * np.mean(targets == predicted)
    evaluation = Evaluation(PARTS, 3, {}, {})
    tiny.test(module.train(), evaluation, parts=PARTS, split=replace(split, **parts))
    assert list(evaluation.accuracy()) == list(PARTS)
    assert evaluation.accuracy() == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx({"retain": 97.2222, "forget": 41.6667, "val": 0, "test_retain": 94.4444}, abs=1e-4)


@pytest.mark.usefixtures("small_batches")
def test_evaluation_feeds_each_role_from_its_part(tiny: Any) -> None:
    module, split, diary = tiny.module(), tiny.split(), Diary()
    roles = {"retain": "member", "test_retain": "nonmember", "forget": "forget"}
    evaluation = Evaluation(PARTS, 3, {"diary": diary, "another": Diary()}, roles)
    tiny.test(module, evaluation, parts=PARTS)
    assert diary.fed == []  # each evaluation has metrics of its own
    assert evaluation.efficacy() == {"diary": 3, "another": 3}  # each part once, whole
    module.eval()
    for part, role in roles.items():
        batches = [(logits, targets) for name, logits, targets in evaluation.attacks["diary"].fed if name == role]
        logits, targets = (torch.cat(column) for column in zip(*batches, strict=True))
        assert torch.equal(targets, getattr(split, part).targets)
        with torch.no_grad():
            expected = module.defender.network(tiny.transform.normalise(getattr(split, part).images))
        torch.testing.assert_close(logits, expected)
    assert {role for role, _, _ in evaluation.attacks["diary"].fed} == set(roles.values())


def test_evaluation_of_a_single_part(tiny: Any) -> None:
    evaluation = Evaluation(["forget"], 3, {}, {})
    tiny.test(tiny.module(), evaluation, parts=["forget"])
    assert evaluation.accuracy().keys() == {"forget"}


def test_two_evaluations_share_a_test(tiny: Any) -> None:
    evaluations = [Evaluation(PARTS, 3, {"diary": Diary()}, {part: "forget"}) for part in ("forget", "val")]
    tiny.test(tiny.module(), *evaluations, parts=PARTS)
    split = tiny.split()
    for evaluation, part in zip(evaluations, (split.forget, split.val), strict=True):
        ((role, _, targets),) = evaluation.attacks["diary"].fed
        assert role == "forget"
        assert torch.equal(targets, part.targets)

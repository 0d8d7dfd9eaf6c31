from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dau_lightning.base.error import TrainingError
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import LOG_EVERY
from dau_lightning.training.sgd import SGDMethod

NAN, INF = float("nan"), float("inf")


class Breaking(SGDMethod):
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


@pytest.mark.parametrize(("step", "looked_at"), [(7, 36), (49, 50), (73, 100), (100, 108)])
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


def test_guard_looks_only_at_the_end_of_an_interval_and_of_an_epoch(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], Guard._look
    monkeypatch.setattr(Guard, "_look", lambda self, module: (looks.append(len(self.losses)), look(self, module))[1])
    tiny.fit(tiny.module(batch_size=1, epochs=3), Guard("Somebody", tiny.folder / "good"))
    assert LOG_EVERY == 50
    assert [count for count in looks if count] == [36, 14, 22, 28, 8]  # of 36 steps an epoch


def test_guard_lets_a_step_return_none(tiny: Any) -> None:
    class OneShot(SGDMethod):  # gathers over an epoch, as later methods will, and has no loss to descend
        def training_step(self, batch: Any, batch_idx: int) -> None:
            return None

    module = tiny.module(OneShot)
    module.automatic_optimization = False
    tiny.fit(module, Guard("Somebody", tiny.folder / "good"))


def test_guard_looks_at_what_the_last_step_did(tiny: Any) -> None:
    class Explodes(SGDMethod):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.cross_entropy(batch["retain"])
            last = self.step == self.epochs * int(self.trainer.num_training_batches) - 1
            return loss + (1e30 * (loss - loss.detach()) * 1e30 if last else 0)  # finite, unlike its gradient

    with pytest.raises(TrainingError):
        tiny.fit(tiny.module(Explodes), Guard("Somebody", tiny.folder / "good"))

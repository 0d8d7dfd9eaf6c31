import math
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from dau_lightning.base.randomness import key
from dau_lightning.training.module import LOG_EVERY, log
from tests.whole_game import same, state


class Memory(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, float], int]] = []

    name = version = "memory"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((metrics, step or 0))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class Watch(L.Callback):
    """The steps, the progress, and a number drawn at the end of each step."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.progress: list[float] = []
        self.draws: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append(pl_module.step)
        self.progress.append(pl_module.progress)
        self.draws.append(float(torch.rand(())))


def test_log_sends_numbers_under_the_phase_to_every_logger() -> None:
    loggers = Memory(), Memory()
    log(loggers, "unlearning", 7, {"loss": torch.tensor(0.5, requires_grad=True), "alpha": 0.9})
    for logger in loggers:
        assert logger.rows == [({"unlearning/loss": 0.5, "unlearning/alpha": 0.9}, 7)]
        assert all(type(value) is float for value in logger.rows[0][0].values())


def test_values_are_logged_on_every_fiftieth_step_over_all_epochs(tiny: Any) -> None:
    logger = Memory()
    module = tiny.module(batch_size=1, epochs=4)  # epochs of 36 steps
    tiny.fit(module, loggers=[logger])
    assert LOG_EVERY == 50
    assert [step for _, step in logger.rows] == [0, 50, 100]
    assert all(metrics.keys() == {"unlearning/loss"} and math.isfinite(*metrics.values()) for metrics, _ in logger.rows)


@pytest.mark.parametrize(("batch_size", "steps"), [(12, 3), (10, 4), (36, 1), (100, 1)])
def test_steps_count_over_epochs(tiny: Any, batch_size: int, steps: int) -> None:
    watch = Watch()
    trainer = tiny.fit(tiny.module(batch_size=batch_size, epochs=3), watch)
    assert watch.steps == list(range(3 * steps))
    assert watch.progress == pytest.approx([step / (3 * steps) for step in range(3 * steps)])
    assert trainer.global_step == 3 * steps


def test_noise_of_a_step_is_keyed_to_seed_phase_and_step(tiny: Any) -> None:
    watch = Watch()
    tiny.fit(tiny.module(seed=5), watch)
    expected = [float(torch.rand((), generator=torch.Generator().manual_seed(key(5, "unlearning", n, 0)))) for n in range(6)]
    assert watch.draws == expected
    assert len(set(watch.draws)) == 6


def test_same_seed_gives_the_same_weights_and_another_seed_does_not(tiny: Any) -> None:
    states = []
    for seed in (0, 0, 1):
        module = tiny.module(seed=seed)  # the same initial weights in all three
        torch.manual_seed(len(states))  # what ran before must not matter
        tiny.fit(module)
        states.append(state(module.defender))
    assert same(states[0], states[1])
    assert not any(torch.equal(states[0][name], states[2][name]) for name in states[0] if name.endswith("weight"))


def test_test_step_gives_float32_logits_in_evaluation_mode(tiny: Any) -> None:
    module = tiny.module()
    tiny.fit(module)
    before, split, found = state(module.defender), tiny.split(), []

    class Keep(L.Callback):
        def on_test_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Tensor, *rest: Any) -> None:
            found.append(outputs)

    tiny.test(module, Keep(), parts=["forget", "val"])
    assert same(before, state(module.defender))
    module.defender.eval()
    with torch.no_grad():
        for part, logits in zip(("forget", "val"), found, strict=True):
            assert logits.dtype == torch.float32
            inputs = tiny.transform.normalise(getattr(split, part).images)
            torch.testing.assert_close(logits, module.defender.network(inputs), rtol=0, atol=0)

from types import SimpleNamespace
from typing import Any

import pytest

from dau_lightning.training.clock import WARM_UP, Clock
from dau_lightning.training.sgd import SGDMethod

NAN, INF = float("nan"), float("inf")


class Timed(SGDMethod):
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
    monkeypatch.setattr("dau_lightning.training.clock.time", SimpleNamespace(perf_counter=lambda: module.now))
    assert clock.seconds == 0
    tiny.fit(module, clock)
    assert clock.seconds == 100 + 6 * 1000
    assert module.now == 1 + 10 + 100 + 6 * 1000 + 100_000


def test_the_time_of_compiling_is_left_out(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiles(Timed):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.now += 70_000 if self.step == 1 else 0
            return super().training_step(batch, batch_idx)

    for epochs, expected in (
        (2 * WARM_UP // 3 + 1, 0),
        (WARM_UP // 3, 70_000),
    ):  # too few later steps
        module, clock = tiny.module(Compiles, epochs=epochs), Clock(compiled=True)
        monkeypatch.setattr("dau_lightning.training.clock.time", SimpleNamespace(perf_counter=lambda module=module: module.now))
        tiny.fit(module, clock)
        assert clock.seconds == pytest.approx(100 + 3 * epochs * 1000 + expected)

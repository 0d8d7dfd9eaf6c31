import re
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from dau_lightning.base.error import TrainingError
from dau_lightning.training.guard import Guard
from dau_lightning.training.progress_bar import TrainingBar
from dau_lightning.training.sgd import SGDMethod

NAN, INF = float("nan"), float("inf")

NAN = float("nan")


class Breaking(SGDMethod):
    """Gives a loss that is not finite at chosen steps, and destroys the weights by it."""

    breaks: Callable[[int], bool] = staticmethod(lambda step: False)
    value = NAN

    def loss(self, batch: Any) -> Tensor:
        loss = self.cross_entropy(batch["retain"])
        return loss * self.value if self.breaks(self.step) else loss


def test_phase_bar_counts_all_steps_and_ends(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar("Somebody")
    tiny.fit(tiny.module(epochs=3), bar)
    assert not bar.bar.live.is_started
    (task,) = bar.bar.tasks
    assert (task.description, task.completed, task.total) == ("Somebody", 9, 9)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(r"Somebody .*9/9", printed.err)


def test_phase_bar_starts_after_what_the_module_does_first(tiny: Any) -> None:
    class Asks(SGDMethod):
        def on_train_start(self) -> None:
            started.append(bar.bar.live.is_started)

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            started.append(bar.bar.live.is_started)
            super().on_train_batch_start(batch, batch_idx)

    started, bar = list[bool](), TrainingBar("Somebody")
    tiny.fit(tiny.module(Asks, epochs=1), bar)
    assert started == [False, True, True, True]


def test_phase_bar_ends_after_an_exception(tiny: Any) -> None:
    module, bar = tiny.module(Breaking, epochs=1), TrainingBar("Somebody")
    module.breaks = lambda step: True
    with pytest.raises(TrainingError):
        tiny.fit(module, Guard("Somebody", tiny.folder / "good"), bar)
    ended = not bar.bar.live.is_started
    bar.bar.stop()
    assert ended


def test_phase_bar_that_never_started_ends_too(tiny: Any) -> None:
    class Fails(SGDMethod):
        def on_train_start(self) -> None:
            raise ZeroDivisionError

    bar = TrainingBar("Somebody")
    with pytest.raises(ZeroDivisionError):
        tiny.fit(tiny.module(Fails), bar)
    bar.teardown(None, None, "fit")  # type: ignore[arg-type]
    assert not bar.bar.live.is_started

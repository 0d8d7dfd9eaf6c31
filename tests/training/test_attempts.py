"""A game that costs too much RA: RA is set by hand here, everything else is the real training."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.dau import DAU
from dau_lightning.evaluation.trajectory import ROLES, Trajectory
from dau_lightning.metric.svm_attack import SVMAttack
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.training import attempts
from dau_lightning.training.attempts import Attempts
from dau_lightning.training.guard import Guard
from dau_lightning.training.progress_bar import TrainingBar
from tests.killing import Kill, Killed, equal, fit
from tests.whole_game import SETTINGS, StepRecord, changed, game, same, sensitivity, state

STEPS = 3  # in a game of one epoch


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[int | None, float]:
    """RA by attempt, from 0; None: before the first one."""
    found: dict[int | None, float] = {None: 90.0}
    monkeypatch.setattr(attempts, "_retain_accuracy", lambda module: found[module.memory.get("attempt")])
    return found


def three_attempts(tiny: Any) -> DAU:
    return game(tiny.defender(), attempts=Attempts(3, 2.0), batch_norm="update")


def played(tiny: Any) -> tuple[DAU, StepRecord, dict[str, Tensor]]:
    """A game to its end: the module, its steps, and its final defender."""
    module, record = three_attempts(tiny), StepRecord()
    fit(tiny, module, record, seconds=60)
    return module, record, dict(module.defender.state_dict())


def test_a_game_within_the_margin_is_played_once(tiny: Any, measured: dict[int | None, float]) -> None:
    measured |= {0: 88.0}
    module, record, final = played(tiny)
    assert len(record.starts) == STEPS
    assert same(final, record.ends[-1][0])
    assert module.findings["attempts"] == 1
    assert "undone" not in module.findings


def test_each_further_game_starts_from_the_same_weights_with_half_the_rate(
    tiny: Any, measured: dict[int | None, float]
) -> None:
    measured |= {0: 80.0, 1: 85.5, 2: 88.5}
    rates: list[float] = []
    module, record = three_attempts(tiny), StepRecord()
    record.on_before_optimizer_step = lambda trainer, _, optimizer: rates.append(trainer.optimizers[0].param_groups[0]["lr"])  # type: ignore[method-assign]
    fit(tiny, module, record, seconds=60)
    starts = [record.starts[number][0] for number in (0, STEPS, 2 * STEPS)]
    assert len(record.starts) == 3 * STEPS
    assert same(starts[0], starts[1])
    assert same(starts[0], starts[2])
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05, 0.025, 0.0125])
    assert module.findings["attempts"] == 3


def test_the_game_that_lost_least_stays(tiny: Any, measured: dict[int | None, float], capsys: Any) -> None:
    measured |= {0: 80.0, 1: 86.0, 2: 84.0}
    module, record, final = played(tiny)
    assert same(final, record.ends[2 * STEPS - 1][0])  # 4 points: less than what ruins a model
    assert module.findings["undone"] == 0
    told = capsys.readouterr().out
    assert "attempt 1 cost 10.0 points of RA; again from the start with half the rate" in told
    assert "attempt 3 cost 6.0 points of RA; that was the last attempt" in told


def test_games_that_all_ruin_the_model_are_undone(tiny: Any, measured: dict[int | None, float]) -> None:
    measured |= {0: 60.0, 1: 70.0, 2: 80.0}
    module, record, final = played(tiny)
    assert same(final, record.starts[0][0])
    assert module.findings["undone"] == 1


@pytest.mark.parametrize("step", [1, 3, 4, 6, 8])
def test_killed_in_any_attempt_it_ends_with_the_same_weights(tiny: Any, measured: dict[int | None, float], step: int) -> None:
    measured |= {0: 80.0, 1: 86.0, 2: 84.0}
    expected = fit(tiny, three_attempts(tiny), seconds=60)
    with pytest.raises(Killed):
        fit(tiny, three_attempts(tiny), Kill(step))
    assert equal(fit(tiny, three_attempts(tiny)), expected)


@pytest.mark.parametrize(("losses", "played"), [([0.0], 1), ([5.0, 0.0], 2), ([5.0, 5.0, 5.0], 3)])
def test_the_progress_bar_counts_the_games_that_are_played(
    tiny: Any, measured: dict[int | None, float], losses: list[float], played: int
) -> None:
    measured.update({attempt: 90.0 - loss for attempt, loss in enumerate(losses)})
    bar = TrainingBar("DAU")
    fit(tiny, three_attempts(tiny), bar, seconds=60)
    (task,) = bar.bar.tasks
    assert (task.completed, task.total) == (played * STEPS, played * STEPS)


def test_without_a_margin_nothing_is_measured(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "accuracy", lambda *_: pytest.fail("measured"))
    module = game(tiny.defender(), attempts=Attempts(3, None))
    fit(tiny, module, seconds=60)
    assert "attempts" not in module.findings


def test_ra_is_that_of_the_retained_images_in_evaluation_mode(tiny: Any) -> None:
    module = game(tiny.defender(), attempts=Attempts(1, 100.0))
    fit(tiny, module, seconds=60)
    retain = tiny.split().retain
    before = tiny.defender().eval()
    with torch.no_grad():
        predicted = before(tiny.transform.normalise(retain.images))[0].argmax(1)
    assert module.memory["start_RA"] == pytest.approx(100 * float((predicted == retain.targets).double().mean()))


def test_small_data_gets_more_epochs(tiny: Any) -> None:
    module = game(tiny.defender(), min_steps=10)
    module.check(tiny.split())
    assert module.epochs == 4  # of 3 steps
    module.min_steps = 9
    module.epochs = 5
    module.check(tiny.split())
    assert module.epochs == 5


@pytest.mark.parametrize("kill", [None, 3, 7])
def test_a_game_that_diverges_is_repeated_with_half_the_rate(tiny: Any, capsys: Any, kill: int | None) -> None:
    class Diverges(DAU):
        def training_step(self, *arguments: Any) -> Tensor:
            loss = super().training_step(*arguments)
            return loss * torch.nan if self.memory["attempt"] == 0 and self.step == 1 else loss

    def made() -> DAU:
        settings = SETTINGS | {"epochs": 2, "attempts": Attempts(3, 100.0), "batch_norm": "update"}
        return Diverges(defender=tiny.defender(), sensitivity=sensitivity(), **settings)

    module, guard = made(), Guard("DAU", tiny.folder / "good")
    if kill:
        with pytest.raises(Killed):
            fit(tiny, module, guard, Kill(kill))
        module = made()
    fit(tiny, module, guard, seconds=60)
    assert module.findings["attempts"] == 2
    assert module.trainer.current_epoch == 4  # of 3 steps each; the first attempt ended after its first epoch
    assert torch.isfinite(torch.cat([weight.flatten() for weight in module.defender.parameters()])).all()
    told = "" if kill else capsys.readouterr().out
    assert kill or "attempt 1 diverged, the loss is nan at step 1; again from the start with half the rate" in told


def test_games_that_all_diverge_are_undone(tiny: Any) -> None:
    class Diverges(DAU):
        def training_step(self, *arguments: Any) -> Tensor:
            return super().training_step(*arguments) * torch.nan

    module = Diverges(defender=tiny.defender(), sensitivity=sensitivity(), **SETTINGS | {"attempts": Attempts(2, 2.0)})
    before = state(module.defender)
    fit(tiny, module, Guard("DAU", tiny.folder / "good"), seconds=60)
    assert same(state(module.defender), before)
    assert module.findings["undone"] == 1


def test_a_further_game_meets_the_attacker_as_it_was(tiny: Any, measured: dict[int | None, float]) -> None:
    measured |= {0: 80.0, 1: 88.5}
    module, record = game(tiny.defender(), attempts=Attempts(3, 2.0), pretraining_steps=2, regulariser_weight=0.0), StepRecord()
    fit(tiny, module, record, seconds=60)
    assert len(record.starts) == 2 * STEPS
    assert same(record.starts[0][1], record.starts[STEPS][1])
    assert changed(record.starts[0][1], record.starts[1][1])


def test_the_game_is_on_in_each_attempt(tiny: Any, measured: dict[int | None, float]) -> None:
    measured |= {0: 80.0, 1: 88.5}
    weights: list[float] = []

    class Weights(DAU):
        def on_train_batch_end(self, *_: Any) -> None:
            weights.append(self.alpha)

    settings = SETTINGS | {"attempts": Attempts(3, 2.0), "adversarial_steps": 2}
    fit(tiny, Weights(defender=tiny.defender(), sensitivity=sensitivity(), **settings), seconds=60)
    assert weights == 2 * [0.9, 0.9, 0.0]


def test_the_curves_are_those_of_the_last_attempt(tiny: Any, measured: dict[int | None, float]) -> None:
    measured |= {0: 80.0, 1: 88.5}
    module, path = three_attempts(tiny), tiny.folder / "metrics.csv"
    split = tiny.split()
    watched = Trajectory({part: getattr(split, part) for part in ROLES}, tiny.transform, SVMAttack("confidence", seed=0), 3)
    tiny.training([MetricsCSV(path)]).fit(module, split, tiny.folder / "DAU.checkpoint", {}, [watched])
    assert [row["step"] for row in watched.rows] == [0, 1, 2, 3]
    logged = MetricsCSV(path).logged("dynamics")
    for name in ("RA", "UA", "MIA"):
        assert [row[name] for row in logged] == [row[name] for row in watched.rows]


def test_what_a_term_costs_before_the_first_step_counts(tiny: Any, measured: dict[int | None, float]) -> None:
    class Ruins:
        part = "forget"

        def begin(self, module: Any) -> None:
            measured[None] = 40.0
            with torch.no_grad():
                for parameter in module.defender.parameters():
                    parameter.zero_()

        def loss(self, module: Any, batch: Any, forget_logits: Tensor) -> Tensor:
            return forget_logits.sum() * 0

    measured |= {0: 41.0, 1: 41.0}
    module = game(tiny.defender(), attempts=Attempts(2, 2.0), batch_norm="update", term={"mine": Ruins()})
    before = state(module.defender)
    fit(tiny, module, seconds=60)
    assert module.findings["undone"] == 1
    assert same(state(module.defender), before)

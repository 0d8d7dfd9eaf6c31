"""The step of Algorithm 1 and the game as a whole; its parts are tested in tests/game."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.baseline.finetune import FineTune
from dau_lightning.data.split import Split
from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker, Several, StatisticsAttacker
from dau_lightning.game.extra_loss.gradient_ascent import GradientAscentLoss
from dau_lightning.game.objective import MinMax, Wasserstein
from dau_lightning.game.penalty import dragan, interpolated
from dau_lightning.game.projector import mlp
from dau_lightning.game.regulariser import NoRegulariser, contrastive, vicreg
from tests.whole_game import PassCount, State, StepRecord, changed, game, gradients, logged, running, same, sensitivity, state

Build = Callable[..., DAU]
MODES = pytest.mark.parametrize("attacker_mode", ["eval", "train"])


@pytest.fixture
def build(tiny: Any) -> Build:
    """Makes a game around a new defender."""
    return lambda **changes: game(tiny.defender(), **changes)


def watch_attacker_step(module: DAU, check: Callable[[Callable[[], Tensor]], Tensor]) -> None:
    """Call the attacker's step through a check."""
    step = module.attacker.step
    module.attacker.step = lambda *arguments: check(partial(step, *arguments))


# One player's step and the other's weights


def several(num_classes: int) -> Several:
    statistics = partial(StatisticsAttacker, attacker_input="probabilities", with_phi=True)
    return Several(num_classes, {"transformer": Attacker, "statistics": statistics})


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "attacker in training mode": {"attacker_mode": "train"},
    "sensitivity with gradient": {"sensitivity": sensitivity(gradient=True)},
    "non-saturating": {"objective": MinMax(False)},
    "wasserstein": {"objective": Wasserstein(), "penalty": partial(interpolated, weight=10.0)},
    "dragan": {"penalty": partial(dragan, weight=10.0, noise=0.5)},
    "vicreg": {"regulariser": partial(vicreg, invariance=25.0, variance=25.0, covariance=1.0)},
    "contrastive": {"regulariser": partial(contrastive, temperature=0.1)},
    "no regulariser": {"regulariser": NoRegulariser()},
    "projector": {"projector": partial(mlp, width=5)},
    "statistics": {"attacker": partial(StatisticsAttacker, attacker_input="probabilities", with_phi=True)},
    "several": {"attacker": several, "penalty": partial(interpolated, weight=10.0)},
    "class pairs": {"pairing": "class"},
    "gradient ascent": {"term": {"gradient_ascent": GradientAscentLoss(0.1)}},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_in_every_variant_a_players_step_changes_that_player_alone(tiny: Any, build: Build, variant: dict[str, Any]) -> None:
    module, record = build(attacker_steps=2, pretraining_steps=2, **variant), StepRecord()
    between: list[tuple[State, State]] = []

    def check(step: Callable[[], Tensor]) -> Tensor:
        defended, network = nn.ModuleList([module.defender, module.regulariser]), module.attacker.network
        before, slopes, attacker = state(defended), gradients(defended), state(network)
        loss = step()
        assert same(before, state(defended))
        assert same(slopes, gradients(defended))
        still = {"output.bias"} if isinstance(module.attacker.objective, Wasserstein) else set()  # a difference has no offset
        assert changed(attacker, state(network)) == set(attacker) - still
        tracked = [name for name in attacker if name.endswith("num_batches_tracked")]
        assert {int(state(network)[name] - attacker[name]) for name in tracked} == {2}  # the penalty adds none
        between.append((state(network), state(module.defender)))
        return loss

    watch_attacker_step(module, check)
    tiny.fit(module, record)
    assert len(between) == 3
    for (attacker, defender), (defender_end, attacker_end) in zip(between, record.ends, strict=True):
        assert same(attacker, attacker_end)
        assert changed(defender, defender_end)
    assert torch.tensor(record.losses).isfinite().all()
    assert all(0 <= value <= 100 for value in module.findings.values())


def test_every_variant_is_another_training(tiny: Any, build: Build) -> None:
    ends = []
    for variant in VARIANTS.values():
        module = build(**variant)
        tiny.fit(module)
        ends.append(torch.cat([tensor.flatten().double() for tensor in state(module.defender).values()]))
    assert all(not torch.equal(*pair) for pair in itertools.combinations(ends, 2))


@MODES
@pytest.mark.parametrize("batch_norm", ["batch", "update", "running"])
def test_without_its_step_the_attacker_stays(tiny: Any, build: Build, attacker_mode: str, batch_norm: str) -> None:
    module, record = build(attacker_mode=attacker_mode, batch_norm=batch_norm), StepRecord()
    watch_attacker_step(module, lambda step: torch.zeros(()))
    defender, attacker = state(module.defender), state(module.attacker.network)
    tiny.fit(module, record)
    assert all(same(attacker, found) for _, found in (*record.starts, *record.ends))
    assert same(attacker, state(module.attacker.network))
    assert gradients(module.attacker) == {}
    assert changed(defender, state(module.defender)) == set(defender)
    assert all(parameter.requires_grad for parameter in module.attacker.parameters())


@MODES
@pytest.mark.parametrize("moved", [0, 1])
def test_only_its_optimizer_moves_a_player(tiny: Any, build: Build, attacker_mode: str, moved: int) -> None:
    module, record = build(attacker_mode=attacker_mode), StepRecord()
    descend = module.descend
    module.descend = lambda player, loss: descend(player, loss) if player == moved else None
    tiny.fit(module, record)
    names = [dict(player.named_parameters()).keys() for player in (module.defender, module.attacker.network)]
    changes = [changed(start, end) for start, end in zip(record.starts[0], record.ends[-1], strict=True)]
    assert not changes[1 - moved] & names[1 - moved]
    assert changes[moved] >= names[moved]


def test_the_defender_meets_the_attacker_after_its_step(tiny: Any, build: Build) -> None:
    record = StepRecord()
    tiny.fit(build(), record)
    for (_, start), attacker, (_, end) in zip(record.starts, record.attackers, record.ends, strict=True):
        assert "output.weight" in changed(start, state(attacker))
        assert same(state(attacker), end)


# Running statistics


@pytest.mark.parametrize(("batch_norm", "touched"), [("batch", False), ("running", False), ("update", True)])
@pytest.mark.parametrize("adversarial_weight", [0.9, 0.0])
def test_running_statistics_take_in_forget_and_val_only_with_update(
    tiny: Any, build: Build, batch_norm: str, touched: bool, adversarial_weight: float
) -> None:
    class OneStep(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            found.append((running(pl_module.defender), batch["retain"].images))
            trainer.should_stop = True

    found: list[tuple[State, Tensor]] = []
    tiny.fit(tiny.module(FineTune, batch_size=36, epochs=1), OneStep())
    tiny.fit(build(retain_batch_size=36, batch_norm=batch_norm, adversarial_weight=adversarial_weight), OneStep())
    (finetuned, images), (unlearned, same_images) = found
    assert torch.equal(images, same_images)
    assert len(finetuned) == 9
    assert same(finetuned, unlearned) is not touched
    passes = 0 if not touched else 3 if adversarial_weight else 1  # the joint batch and two noisy copies
    assert unlearned["network.0.1.num_batches_tracked"] == finetuned["network.0.1.num_batches_tracked"] + passes


@pytest.mark.parametrize("batch_norm", ["batch", "running", "update"])
def test_before_and_after_the_game_the_defender_stays(tiny: Any, build: Build, batch_norm: str) -> None:
    module, record = build(batch_norm=batch_norm, pretraining_steps=2), StepRecord()
    before = state(module.defender)
    tiny.fit(module, record)
    assert same(before, record.starts[0][0])
    assert same(record.ends[-1][0], state(module.defender))


# The end of alpha


@pytest.mark.parametrize(("beta", "passes"), [(0.1, 2), (0.0, 1)])
@pytest.mark.parametrize("attacker_steps", [1, 2])
def test_attacker_and_noisy_passes_stop_with_alpha(
    tiny: Any, build: Build, beta: float, passes: int, attacker_steps: int
) -> None:
    module = build(regulariser_weight=beta, adversarial_steps=4, epochs=3, attacker_steps=attacker_steps)
    count, record = PassCount(module), StepRecord()
    tiny.fit(module, count, record)
    playing, over = (1 + 1 + 2, attacker_steps + 1), (passes, 0)  # retain, joint, two noisy copies
    assert count.steps == [playing] * 4 + [over] * 5
    attackers = [attacker for _, attacker in record.ends]
    assert changed(attackers[2], attackers[3]) == set(attackers[3])
    assert all(same(attackers[3], later) for later in (*attackers[4:], state(module.attacker.network)))
    assert changed(record.ends[-2][0], record.ends[-1][0])  # the defender goes on


def test_without_game_and_regulariser_it_is_finetuning(tiny: Any, build: Build) -> None:
    module, finetune = build(adversarial_weight=0.0, regulariser_weight=0.0, epochs=2), tiny.module(FineTune)
    tiny.fit(module)
    tiny.fit(finetune)
    assert same(state(finetune.defender), state(module.defender))


@pytest.mark.parametrize(("steps", "expected"), [(None, [0.9] * 6), (0, [0.0] * 6), (4, [0.9] * 4 + [0.0] * 2)])
def test_alpha_falls_to_zero_after_the_adversarial_steps(
    tiny: Any, build: Build, steps: int | None, expected: list[float]
) -> None:
    module = build(adversarial_steps=steps, epochs=2)
    found = logged(module)
    tiny.fit(module)
    assert [values["adversarial_weight"] for values in found] == pytest.approx(expected)


def test_without_a_regulariser_only_the_game_needs_the_joint_pass(tiny: Any, build: Build) -> None:
    module = build(regulariser=NoRegulariser(), adversarial_steps=1, sensitivity=sensitivity(copies=0), val_batch_size=4)
    count = PassCount(module)
    tiny.fit(module, count)
    assert count.steps == [(2, 2), (1, 0), (1, 0)]


# The loss and its parts


def test_the_loss_is_the_sum_of_the_logged_parts(tiny: Any, build: Build) -> None:
    class Constant:
        part = "forget"

        def begin(self, module: Any) -> None:
            pass

        def loss(self, module: Any, batch: Any, forget_logits: Tensor) -> Tensor:
            return 3 + 0 * forget_logits.sum()

    module, record = build(pretraining_steps=1, term={"mine": Constant()}), StepRecord()
    found = logged(module)
    tiny.fit(module, record)
    assert [values["loss"] for values in found] == record.losses
    for values in found:
        parts = values["retain_loss"] + 0.9 * values["adversarial_loss"] + 0.1 * values["regulariser"] + values["mine"]
        assert values["loss"] == pytest.approx(parts, rel=1e-5)
        assert values["mine"] == 3
        assert values["attacker_loss"] > 0


@pytest.mark.parametrize("alone", [True, False])
def test_an_extra_loss_acts_before_the_game_and_in_every_step(tiny: Any, build: Build, alone: bool) -> None:
    class Extra:
        part = "forget"

        def begin(self, module: Any) -> None:
            calls.append(("before", state(module.attacker.network)))

        def loss(self, module: Any, batch: Any, forget_logits: Tensor) -> Tensor:
            calls.append(("loss", (*forget_logits.shape, *batch["forget"].targets.shape)))
            return 3 + 0 * forget_logits.sum()

    calls: list[tuple[str, Any]] = []
    weights = {"adversarial_weight": 0.0, "regulariser_weight": 0.0} if alone else {}
    module, record, plain = build(term={"mine": Extra()}, pretraining_steps=2, **weights), StepRecord(), StepRecord()
    attacker = state(module.attacker.network)
    tiny.fit(module, record)
    tiny.fit(build(pretraining_steps=2, **weights), plain)
    assert record.losses == pytest.approx([loss + 3 for loss in plain.losses], rel=1e-5)
    assert [call for call, _ in calls] == ["before", "loss", "loss", "loss"]
    assert same(calls[0][1], attacker)  # before the pre-training
    assert calls[1][1] == (6, 3, 6)


def test_another_objective_regulariser_and_attacker_are_objects(tiny: Any, build: Build) -> None:
    shapes: dict[str, list[tuple[int, ...]]] = {"attacker": [], "defender": [], "regulariser": []}

    class Objective:
        def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            shapes["attacker"].append((*forget_logits.shape, *val_logits.shape))
            return (val_logits - forget_logits).mean()

        def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            shapes["defender"].append((*forget_logits.shape, *val_logits.shape))
            return 0 * forget_logits.sum() + 5

    def regulariser(forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        shapes["regulariser"].append((*forget.shape, *val.shape, *retain.shape))
        return 0 * forget.sum() + 7

    class Linear(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.layer = nn.Linear(2 * num_classes, 1)

        def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            return self.layer(torch.cat([probabilities, sensitivity], 1)).squeeze(1)

    module, record, plain = build(objective=Objective(), regulariser=regulariser, attacker=Linear), StepRecord(), StepRecord()
    before = state(module.attacker.network)
    tiny.fit(module, record)
    tiny.fit(build(adversarial_weight=0.0, regulariser_weight=0.0), plain)
    assert shapes == {"attacker": [(6, 6)] * 3, "defender": [(6, 6)] * 3, "regulariser": [(6, 8, 6, 8, 12, 8)] * 3}
    assert record.losses == pytest.approx([loss + 0.9 * 5 + 0.1 * 7 for loss in plain.losses], rel=1e-5)
    assert changed(before, state(module.attacker.network)) == {"layer.weight", "layer.bias"}


def test_the_regulariser_reaches_retain_features(tiny: Any, build: Build) -> None:
    reached = []

    def regulariser(forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        reached.append(retain.requires_grad)
        return contrastive(forget, val, retain, 0.1)

    tiny.fit(build(regulariser=regulariser))
    assert reached == [True] * 3


def test_the_projector_is_trained_with_the_defender_and_not_part_of_it(tiny: Any, build: Build) -> None:
    module = build(projector=partial(mlp, width=5))
    projector = module.regulariser.projector
    before, names = state(projector), set(state(module.defender))
    tiny.fit(module)
    assert changed(before, state(projector)) == set(before)
    assert set(state(module.defender)) == names == set(state(tiny.defender()))


def test_gradient_ascent_raises_the_loss_on_forget_images(tiny: Any, build: Build) -> None:
    losses = []
    for weight in (0.0, 1.0):
        module = build(term={"gradient_ascent": GradientAscentLoss(weight)}, epochs=3)
        tiny.fit(module)
        forget = tiny.split().forget
        with torch.no_grad():
            logits = module.defender.eval()(tiny.transform.normalise(forget.images))[0]
        losses.append(float(nn.functional.cross_entropy(logits, forget.targets)))
    assert losses[1] > losses[0] + 0.5


# Batches


def test_class_pairs_have_the_same_targets(tiny: Any, build: Build) -> None:
    record = StepRecord()
    tiny.fit(build(pairing="class", epochs=2), record)
    assert all(torch.equal(batch["forget"].targets, batch["val"].targets) for batch in record.batches)


@pytest.mark.parametrize("settings", [{}, {"pairing": "class", "regulariser_weight": 0.0}])
def test_paired_batches_must_have_one_size(build: Build, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"baseline\.forget_batch_size and baseline\.val_batch_size .* got 6 and 4 "):
        build(val_batch_size=4, **settings)


def test_unpaired_batches_may_differ_in_size(tiny: Any, build: Build) -> None:
    module, record = build(val_batch_size=4, regulariser_weight=0.0), StepRecord()
    assert list(module.batch_sizes.items()) == [("retain", 12), ("forget", 6), ("val", 4)]  # the first decides the epoch
    tiny.fit(module, record)
    assert [len(batch["val"].targets) for batch in record.batches] == [4] * 3
    assert torch.tensor(record.losses).isfinite().all()


# Reproducibility


def test_the_same_seed_gives_the_same_game(tiny: Any, build: Build) -> None:
    states = []
    for seed in (0, 0, 1):
        module = build(seed=seed, pretraining_steps=2)
        torch.manual_seed(len(states))  # what ran before must not matter
        tiny.fit(module)
        states.append(state(module))
    assert same(states[0], states[1])
    assert changed(states[0], states[2])


# Ten steps on the CPU in float32. They change only in a commit that says so.
TRACE = [0.523285, 0.963239, 0.877666, 0.557096, 0.703239, 0.760279, -0.167745, 0.567382, 0.364311, 0.807518]


def test_ten_steps_have_the_losses_they_always_had(tiny: Any, build: Build) -> None:
    settings = {"retain_batch_size": 8, "epochs": 2, "pretraining_steps": 5, "schedule": "linear", "lr": 0.02}
    record = StepRecord()
    tiny.fit(build(sensitivity=sensitivity(gradient=True), **settings), record)
    assert record.losses == pytest.approx(TRACE, rel=1e-3)


@pytest.mark.parametrize("wrong", [False, True])
def test_unseen_images_have_labels_like_the_forget_set(
    tiny: Any, build: Build, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    monkeypatch.setattr(Split, "wrong_labels", wrong)
    module, right, seen = build(epochs=4), list[Tensor](), list[Tensor]()
    step = module.attacker.step
    monkeypatch.setattr(module.attacker, "step", lambda *given: (seen.append(given[1].targets), step(*given))[1])
    monkeypatch.setattr(module, "on_train_batch_end", lambda _, batch, __: right.append(batch["val"].targets))
    tiny.fit(module)
    same_label = torch.cat(right) == torch.cat(seen)
    assert not same_label.any() if wrong else same_label.all()
    assert torch.cat(seen).unique().tolist() == [0, 1, 2]

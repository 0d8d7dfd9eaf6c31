from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker
from dau_lightning.game.attacker_input import AttackerInputs, join
from dau_lightning.game.attacker_player import AttackerPlayer
from dau_lightning.game.exact_critic import ExactCritic
from dau_lightning.game.logistic_attacker import LogisticAttacker
from dau_lightning.game.objective import MinMax, Wasserstein
from dau_lightning.game.penalty import dragan, none
from dau_lightning.game.player import FINDINGS, FormulaPlayer, Player
from dau_lightning.game.player import player as as_player
from dau_lightning.game.unseen import balanced_accuracy
from tests.game.fakes import Stored, method, random_inputs
from tests.whole_game import StepRecord, changed, game, logged, same, sensitivity, state


@pytest.fixture
def build(tiny: Any) -> Callable[..., DAU]:
    """Makes a game around a new defender."""
    return lambda **changes: game(tiny.defender(), **changes)


def player(network: nn.Module, pretraining: Any = None) -> AttackerPlayer:
    return AttackerPlayer(network, MinMax(True), none, pretraining, lr=1e-3, steps=1, mode="eval")


def test_a_network_becomes_a_player_and_a_player_stays_as_it_is() -> None:
    settings: dict[str, Any] = {"objective": MinMax(True), "penalty": none}
    made = as_player(Attacker(3), "logits", **settings, pretraining=None, lr=1e-3, steps=1, mode="eval")
    assert isinstance(made, AttackerPlayer)
    assert isinstance(made, Player)
    assert as_player(made, "logits", **settings) is made
    critic = ExactCritic(3, 6, 6, 1, 2.0, 8.0, 1.0)
    assert as_player(critic, "probabilities", **settings) is critic


@pytest.mark.parametrize("formula", [ExactCritic(3, 6, 6, 1, 2.0, 8.0, 1.0), LogisticAttacker(3, 6, 6, 1, 1e-2)])
def test_a_formula_of_probabilities_gets_no_logits(build: Callable[..., DAU], formula: FormulaPlayer) -> None:
    with pytest.raises(InputError, match=r"attacker_input must be probabilities .* got logits .*small_transformer"):
        build(attacker=lambda _: formula, attacker_input="logits")


@pytest.mark.parametrize("changes", [{"objective": Wasserstein()}, {"penalty": partial(dragan, weight=1.0, noise=0.5)}])
def test_a_formula_has_no_use_for_an_objective_or_a_penalty(build: Callable[..., DAU], changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"are for an attacker network, .* baseline=dau_paper"):
        build(attacker=lambda _: ExactCritic(3, 6, 6, 1, 2.0, 8.0, 1.0), **changes)


def test_a_joint_batch_with_retain_images_has_one_mode_of_batch_norm(build: Callable[..., DAU], tiny: Any) -> None:
    module = build(joint_batch="retain_forget", sensitivity=sensitivity(copies=0), batch_norm="running")
    with pytest.raises(InputError, match=r"batch_norm must be batch .* got running"):
        module.check(tiny.split())


@pytest.mark.parametrize(
    "attacker",
    [lambda classes: ExactCritic(classes, 6, 6, 1, 2.0, 8.0, 1.0), lambda classes: LogisticAttacker(classes, 6, 6, 1, 1e-2)],
    ids=["exact", "logistic"],
)
def test_a_game_with_a_formula_trains_the_defender_alone(
    build: Callable[..., DAU], tiny: Any, attacker: Callable[[int], FormulaPlayer]
) -> None:
    module = build(attacker=attacker, joint_batch="retain_forget", sensitivity=sensitivity(copies=0), pretraining_steps=5)
    before = state(module.defender)
    tiny.fit(module)
    assert len(module.trainer.optimizers) == 1
    assert module.findings == dict.fromkeys(FINDINGS)
    after = state(module.defender)
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not torch.equal(before[name], tensor) for name, tensor in after.items())


# Membership


def test_membership_judges_its_parts_as_one_batch_in_float32() -> None:
    torch.manual_seed(0)
    attacker = player(Attacker(3)).eval()
    parts = random_inputs(6, 0.0, 0), random_inputs(4, 1.0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = attacker.membership(*parts)
    assert [part.shape for part in logits] == [(6,), (4,)]
    assert {part.dtype for part in logits} == {torch.float32}
    assert torch.equal(torch.cat(logits), attacker.network(*join(*parts)))


def test_outputs_are_probabilities_in_evaluation_mode() -> None:
    attacker, inputs = player(Attacker(3)).train(), random_inputs(9, 0.0, 0)
    before = state(attacker)
    first, second = attacker.outputs(inputs), attacker.outputs(inputs)
    assert torch.equal(first, second)  # no dropout
    assert attacker.network.training
    assert not first.requires_grad
    assert same(before, state(attacker))
    with torch.no_grad():
        torch.testing.assert_close(first, 1 / (1 + torch.exp(-attacker.network.eval()(*inputs))))


def test_outputs_of_several_attackers_are_their_mean() -> None:
    class Both(nn.Module):
        def forward(self, prediction: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            return prediction[:, :2]

    inputs = random_inputs(9, 0.0, 0)
    torch.testing.assert_close(player(Both()).outputs(inputs), inputs.prediction[:, :2].sigmoid().mean(1))


def test_outputs_for_many_classes_are_made_a_few_samples_at_a_time() -> None:
    class First(nn.Module):
        def forward(self, prediction: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            sizes.append(len(targets))
            return prediction[:, 0]

    sizes: list[int] = []
    prediction = torch.randn(3, 3000).softmax(1)
    inputs = AttackerInputs(prediction, torch.zeros(3, 3000), torch.arange(3))
    assert torch.equal(player(First()).outputs(inputs), prediction[:, 0].sigmoid())
    assert sizes == [1, 1, 1]


# Pre-training


def pretrained(shift: float, steps: int = 80) -> AttackerPlayer:
    torch.manual_seed(0)
    parts = random_inputs(200, shift, 0), random_inputs(200, -shift, 1)
    attacker = player(Attacker(3), Stored(lambda _: parts, steps, 16, None))
    module = method()
    (module.trainer.optimizers[1],) = attacker.optimizers()
    attacker.pretraining(module, attacker.attacker_loss)
    return attacker


@pytest.mark.parametrize(("shift", "percent", "tolerance"), [(1.5, 100, 5), (0.0, 50, 6)])
def test_it_tells_members_and_nonmembers_apart_where_they_differ(shift: float, percent: float, tolerance: float) -> None:
    attacker = pretrained(shift)
    accuracy = balanced_accuracy(*(attacker.outputs(random_inputs(500, sign * shift, 2 + sign)) for sign in (1, -1)))
    assert accuracy == pytest.approx(percent, abs=tolerance)


def test_the_penalty_counts_in_the_game_and_in_the_pretraining(tiny: Any, build: Callable[..., DAU]) -> None:
    class Norm(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(num_classes)

        def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            return self.norm(probabilities)[:, 0]

    def penalty(membership: Any, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        sizes.append((len(forget.targets), len(val.targets)))
        alone = torch.cat([membership(forget.at(slice(i, i + 1))) for i in range(len(forget.targets))])
        torch.testing.assert_close(membership(forget), alone)  # each sample by itself
        return 100 + 0 * forget.prediction.sum()

    sizes: list[tuple[int, int]] = []
    module = build(penalty=penalty, attacker=Norm, pretraining_steps=2, pretraining_batch_size=5)
    found = logged(module)
    tiny.fit(module)
    assert sizes == [(5, 5)] * 2 + [(6, 6)] * 3
    assert all(100 < values["attacker_loss"] < 110 for values in found)


class Counted(MinMax):
    """The binary game, which counts the losses of the attacker."""

    def __init__(self) -> None:
        super().__init__(True)
        self.sizes: list[tuple[int, int]] = []

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        self.sizes.append((len(forget_logits), len(val_logits)))
        return super().attacker_loss(forget_logits, val_logits)


def test_the_pretraining_has_the_games_objective(tiny: Any, build: Callable[..., DAU]) -> None:
    objective = Counted()
    tiny.fit(build(objective=objective, pretraining_steps=4, pretraining_batch_size=5))
    assert objective.sizes == [(5, 5)] * 4 + [(6, 6)] * 3


@pytest.mark.parametrize("never", [{"adversarial_weight": 0.0}, {"adversarial_steps": 0}])
def test_an_attacker_that_never_plays_is_not_pretrained(tiny: Any, build: Callable[..., DAU], never: dict[str, Any]) -> None:
    objective = Counted()
    tiny.fit(build(objective=objective, pretraining_steps=4, **never))
    assert objective.sizes == []


def test_the_pretraining_changes_the_attacker_alone(tiny: Any, build: Callable[..., DAU]) -> None:
    module, record = build(pretraining_steps=3), StepRecord()
    before = state(module.defender), state(module.attacker.network)
    tiny.fit(module, record)
    defender, attacker = record.starts[0]
    assert same(before[0], defender)
    assert changed(before[1], attacker) == set(attacker)


# Findings


@pytest.mark.parametrize("pretraining_steps", [0, 3])
def test_findings(tiny: Any, build: Callable[..., DAU], pretraining_steps: int) -> None:
    module = build(pretraining_steps=pretraining_steps)
    tiny.fit(module)
    accuracies = {"balanced_accuracy_pretrained", "balanced_accuracy_final"}
    assert module.findings.keys() == accuracies | {"mean_output_forget", "mean_output_val"}
    if not pretraining_steps:  # there is no accuracy after a pre-training that was not
        assert module.findings.pop("balanced_accuracy_pretrained") is None
    for name, value in module.findings.items():
        assert type(value) is float
        assert 0 <= value <= (100 if name in accuracies else 1)


def test_mean_outputs_are_the_attackers_on_forget_and_val(tiny: Any, build: Callable[..., DAU]) -> None:
    module = build(batch_norm="running", sensitivity=sensitivity(copies=0), pretraining_batch_size=12, epochs=2)
    tiny.fit(module)
    module.eval()
    with torch.no_grad():
        for name in ("forget", "val"):
            part = getattr(tiny.split(), name)
            probabilities = module.defender.network(tiny.transform.normalise(part.images)).softmax(1)
            outputs = module.attacker.network(probabilities, torch.zeros_like(probabilities), part.targets).sigmoid()
            assert module.findings[f"mean_output_{name}"] == pytest.approx(float(outputs.mean()), rel=1e-5)


def test_the_attacker_is_fitted_on_d_and_val_and_its_accuracy_measured_on_others(
    tiny: Any, build: Callable[..., DAU], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, asked = build(pretraining_steps=2), []
    inputs = module.attacker.pretraining.inputs

    def watched(module: DAU, parts: Any, *epoch: int) -> Any:
        asked.append({name: set(part.ids) for name, part in parts.items()})
        return inputs(module, parts, *epoch)

    monkeypatch.setattr(module.attacker.pretraining, "inputs", watched)
    tiny.fit(module)
    split = tiny.split()
    fitted, unseen, ends, unseen_again = asked
    assert fitted == {"members": set(split.train.ids) - unseen["members"], "nonmembers": set(split.val.ids)}
    assert unseen == unseen_again
    assert unseen["nonmembers"] == set(split.test_retain.ids)
    assert ends == {"forget": set(split.forget.ids), "val": set(split.val.ids)}

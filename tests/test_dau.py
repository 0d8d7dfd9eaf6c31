import copy
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import key
from dau_lightning.baseline.finetune import FineTune
from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker, Several, StatisticsAttacker
from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.extra_loss.gradient_ascent import GradientAscent
from dau_lightning.game.objective import MinMax, Wasserstein
from dau_lightning.game.penalty import dragan, interpolated, none
from dau_lightning.game.projector import mlp
from dau_lightning.game.regulariser import Nothing, contrastive, redundancy_reduction, vicreg
from dau_lightning.game.sensitivity import Sensitivity
from tests.composed import CONF, composed

Build = Callable[..., DAU]
State = dict[str, Tensor]


@pytest.fixture
def build(tiny: Any) -> Build:
    """Makes a DAU of three steps an epoch, everything in it switched on."""

    def build(**changes: Any) -> DAU:
        torch.manual_seed(1)  # of the attacker's weights
        settings = {"seed": 0, "epochs": 1, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
        settings |= {"schedule": "constant", "milestones": []}
        settings |= {"retain_batch_size": 12, "forget_batch_size": 6, "val_batch_size": 6}
        settings |= {"adversarial_weight": 0.9, "adversarial_steps": None, "regulariser_weight": 0.1}
        settings |= {"batch_norm": "batch", "attacker_input": "probabilities", "attacker_mode": "eval"}
        settings |= {
            "attacker_lr": 1e-3,
            "attacker_steps": 1,
            "pretraining_steps": 0,
            "pretraining_batch_size": 6,
            "pretraining_refresh": None,
        }
        settings |= {"pairing": "random"}
        parts = {"attacker": Attacker, "objective": MinMax(saturating=True), "penalty": none, "term": {}}
        parts |= {"regulariser": partial(redundancy_reduction, off_diagonal_weight=5e-3), "projector": nn.Identity}
        parts |= {"sensitivity": sensitivity(), "defender": tiny.defender()}
        return DAU(**(settings | parts | changes))

    return build


def sensitivity(**changes: Any) -> Sensitivity:
    return Sensitivity(
        **({"copies": 2, "noise_scale": 1.0, "divide": False, "norm": False, "gradient": False, "images_per_pass": 1} | changes)
    )


def state(module: nn.Module) -> State:
    """Parameters and buffers, num_batches_tracked included."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def gradients(module: nn.Module) -> State:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def changed(first: State, second: State) -> set[str]:
    return {name for name in first if not torch.equal(first[name], second[name])}


def running(module: nn.Module) -> State:
    return {name: tensor for name, tensor in state(module).items() if "running" in name or "tracked" in name}


def relative(found: State, expected: State) -> float:
    """Distance of two gradients, as a share of the second's length."""
    assert found.keys() == expected.keys()
    distance = sum(float((found[name].double() - expected[name].double()).square().sum()) for name in found)
    return (distance / sum(float(tensor.double().square().sum()) for tensor in expected.values())) ** 0.5


class Record(L.Callback):
    """States at both ends of each step, the losses, and what stood when the defender's optimizer was about to step."""

    def __init__(self) -> None:
        self.starts: list[tuple[State, State]] = []
        self.ends: list[tuple[State, State]] = []
        self.batches: list[Any] = []
        self.losses: list[float] = []
        self.gradients: list[State] = []  # of the defender
        self.judges: list[nn.Module] = []  # the attacker as the defender meets it
        self.defenders: list[nn.Module] = []  # before the step

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.starts.append((state(pl_module.defender), state(pl_module.attacker)))
        self.defenders.append(copy.deepcopy(pl_module.defender.network))
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        if optimizer is trainer.optimizers[0]:
            self.gradients.append(gradients(pl_module.defender.network))
            self.judges.append(copy.deepcopy(pl_module.attacker))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ends.append((state(pl_module.defender), state(pl_module.attacker)))
        self.losses.append(float(outputs["loss"]))


class Count(L.Callback):
    """Forward calls of both networks in each training step."""

    def __init__(self, module: DAU) -> None:
        self.now, self.steps = [0, 0], list[tuple[int, int]]()
        for player, network in enumerate((module.defender.network, module.attacker)):
            network.register_forward_pre_hook(lambda *_, player=player: self.add(player))

    def add(self, player: int) -> None:
        self.now[player] += 1

    def on_train_batch_start(self, *_: Any) -> None:
        self.now[:] = [0, 0]

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append((self.now[0], self.now[1]))


# One player's step and the other's weights


MODES = pytest.mark.parametrize("attacker_mode", ["eval", "train"])


@MODES
@pytest.mark.parametrize("gradient", [True, False])
def test_attacker_step_leaves_the_defender(
    tiny: Any, build: Build, monkeypatch: pytest.MonkeyPatch, attacker_mode: str, gradient: bool
) -> None:
    module = build(attacker_mode=attacker_mode, attacker_steps=2, sensitivity=sensitivity(gradient=gradient))
    step, called = module.attacker_step, 0

    def watched(*arguments: Any) -> Tensor:
        nonlocal called
        called += 1
        defender, attacker, slopes = state(module.defender), state(module.attacker), gradients(module.defender)
        loss = step(*arguments)
        assert same(defender, state(module.defender))
        assert same(slopes, gradients(module.defender))
        assert changed(attacker, state(module.attacker)) == set(attacker)  # every weight and buffer of its own
        assert module.attacker.norm.num_batches_tracked == attacker["norm.num_batches_tracked"] + 2
        return loss

    monkeypatch.setattr(module, "attacker_step", watched)
    tiny.fit(module)
    assert called == 3


@MODES
@pytest.mark.parametrize("batch_norm", ["batch", "update", "running"])
def test_defender_step_leaves_the_attacker(
    tiny: Any, build: Build, monkeypatch: pytest.MonkeyPatch, attacker_mode: str, batch_norm: str
) -> None:
    module, record = build(attacker_mode=attacker_mode, batch_norm=batch_norm), Record()
    monkeypatch.setattr(module, "attacker_step", lambda *_: torch.zeros(()))
    before = state(module.defender), state(module.attacker)
    tiny.fit(module, record)
    assert all(same(before[1], attacker) for _, attacker in (*record.starts, *record.ends))
    assert same(before[1], state(module.attacker))
    assert gradients(module.attacker) == {}
    assert changed(before[0], state(module.defender)) == set(before[0])
    assert all(parameter.requires_grad for parameter in module.attacker.parameters())


@MODES
def test_nothing_but_its_optimizer_moves_a_player(
    tiny: Any, build: Build, monkeypatch: pytest.MonkeyPatch, attacker_mode: str
) -> None:
    for idle, moved in ((0, 1), (1, 0)):
        module, record = build(attacker_mode=attacker_mode), Record()
        descend = module.descend

        def only(player: int, loss: Tensor, idle: int = idle, descend: Any = descend) -> None:
            if player != idle:
                descend(player, loss)

        monkeypatch.setattr(module, "descend", only)
        tiny.fit(module, record)
        parameters = [dict(player.named_parameters()) for player in (module.defender, module.attacker)]
        start, end = record.starts[0], record.ends[-1]
        assert not changed(start[idle], end[idle]) & parameters[idle].keys()
        assert changed(start[moved], end[moved]) >= parameters[moved].keys()


def test_the_defender_meets_the_attacker_after_its_step(tiny: Any, build: Build) -> None:
    module, record = build(), Record()
    tiny.fit(module, record)
    for (_, start), judge, (_, end) in zip(record.starts, record.judges, record.ends, strict=True):
        assert "output.weight" in changed(start, state(judge))
        assert same(state(judge), end)


# Running statistics


@pytest.mark.parametrize(("batch_norm", "touched"), [("batch", False), ("running", False), ("update", True)])
@pytest.mark.parametrize("adversarial_weight", [0.9, 0.0])
def test_running_statistics_take_in_forget_and_val_only_if_asked(
    tiny: Any, build: Build, batch_norm: str, touched: bool, adversarial_weight: float
) -> None:
    class Early(L.Callback):  # the first step, before any weight differs, but after the statistics
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            found.append((running(pl_module.defender), batch["retain"].images))
            trainer.should_stop = True

    found: list[tuple[State, Tensor]] = []
    tiny.fit(tiny.module(FineTune, batch_size=36, epochs=1), Early())
    module = build(retain_batch_size=36, batch_norm=batch_norm, adversarial_weight=adversarial_weight)
    if touched:  # what on_train_start and on_train_end do is tested apart
        module.on_train_start = module.on_train_end = lambda: None  # type: ignore[method-assign]
    tiny.fit(module, Early())
    (finetuned, images), (unlearned, same_images) = found
    assert torch.equal(images, same_images)
    assert len(finetuned) == 9
    assert same(finetuned, unlearned) is not touched
    passes = 0 if not touched else 3 if adversarial_weight else 1  # the joint batch and two noisy copies
    assert unlearned["network.0.1.num_batches_tracked"] == finetuned["network.0.1.num_batches_tracked"] + passes


@pytest.mark.parametrize(
    "batch_norm",
    [
        "batch",
        "running",
        "update",
    ],
)
def test_judging_the_attacker_leaves_the_defender(tiny: Any, build: Build, batch_norm: str) -> None:
    module, record = build(batch_norm=batch_norm, pretraining_steps=2), Record()
    before = state(module.defender)
    tiny.fit(module, record)
    assert same(before, record.starts[0][0])  # pre-training and its judgement
    assert same(record.ends[-1][0], state(module.defender))  # the final judgement, which sees test images


# The end of alpha


@pytest.mark.parametrize(("beta", "passes"), [(0.1, 2), (0.0, 1)])
@pytest.mark.parametrize("attacker_steps", [1, 2])
def test_attacker_and_noisy_passes_stop_with_alpha(
    tiny: Any, build: Build, beta: float, passes: int, attacker_steps: int
) -> None:
    module = build(regulariser_weight=beta, adversarial_steps=4, epochs=3, attacker_steps=attacker_steps)
    count, record = Count(module), Record()
    tiny.fit(module, count, record)
    playing, over = (1 + 1 + 2, attacker_steps + 1), (passes, 0)  # retain, joint, two noisy copies
    assert count.steps == [playing] * 4 + [over] * 5
    attackers = [attacker for _, attacker in record.ends]
    assert changed(attackers[2], attackers[3]) == set(attackers[3])
    assert all(same(attackers[3], later) for later in attackers[4:])
    assert same(attackers[3], state(module.attacker))
    assert changed(record.ends[-2][0], record.ends[-1][0])  # the defender goes on


def test_without_game_and_regulariser_it_is_finetuning(tiny: Any, build: Build) -> None:
    module = build(adversarial_weight=0.0, regulariser_weight=0.0, epochs=2)
    finetune = tiny.module(FineTune)
    tiny.fit(module)
    tiny.fit(finetune)
    assert same(state(finetune.defender), state(module.defender))


@pytest.mark.parametrize(("steps", "expected"), [(None, [0.9] * 6), (0, [0.0] * 6), (4, [0.9] * 4 + [0.0] * 2)])
def test_alpha(tiny: Any, build: Build, steps: int | None, expected: list[float]) -> None:
    class Watch(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
            found.append(pl_module.alpha)

    found: list[float] = []
    tiny.fit(build(adversarial_steps=steps, epochs=2), Watch())
    assert found == expected


# The gradient of Eq. 3


def equation_3(module: DAU, record: Record, step: int, saturating: bool) -> State:
    """Eq. 3 of the paper in float64, written once more from the defender, the attacker and the batch of a step."""
    batch, network = record.batches[step], record.defenders[step].double().train()
    judge = record.judges[step].double().train(module.attacker_mode == "train")
    retain, forget, val = (batch[part].images for part in ("retain", "forget", "val"))
    loss = -network(retain.double()).log_softmax(1)[torch.arange(len(retain)), batch["retain"].targets].mean()

    network.train(module.batch_norm == "batch")
    features: list[Tensor] = []
    network[-1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    images = torch.cat([forget, val])
    torch.manual_seed(key(module.seed, "unlearning", step, 0))
    noise = [torch.randn_like(images) for _ in range(module.observer.sensitivity.copies)]
    logits = network(images.double())
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    s, size = torch.zeros_like(probabilities), module.observer.sensitivity.noise_scale
    for draw in noise:
        difference = network((images + size * draw).double()).softmax(1) - probabilities
        if module.observer.sensitivity.norm:
            difference = difference.square().sum(1, keepdim=True).sqrt().expand(-1, 3)
        s = s + difference.abs() / len(noise) / (size if module.observer.sensitivity.divide else 1)
    s = s if module.observer.sensitivity.gradient else s.detach()

    targets = torch.cat([batch["forget"].targets, batch["val"].targets])
    prediction = probabilities if module.observer.attacker_input == "probabilities" else logits
    member = 1 / (1 + (-judge(prediction, s, targets)).exp())
    f, v = member[: len(forget)], member[len(forget) :]
    forms = {True: f.log().mean() + (1 - v).log().mean(), False: -(1 - f).log().mean() - v.log().mean()}
    adversarial = forms[saturating]

    zf, zv = features[0][: len(forget)], features[0][len(forget) :]
    zf, zv = zf - zf.mean(0), zv - zv.mean(0)
    redundancy = torch.zeros((), dtype=torch.float64)
    for i in range(zf.shape[1]):
        for j in range(zv.shape[1]):
            product = zf[:, i].norm() * zv[:, j].norm()
            c = (zf[:, i] * zv[:, j]).sum() / product if product > 0 else torch.zeros(())
            redundancy = redundancy + ((1 - c) ** 2 if i == j else 5e-3 * c**2)

    (loss + module.adversarial_weight * adversarial + module.regulariser_weight * redundancy).backward()
    return gradients(network)


def without_dropout(num_classes: int) -> Attacker:
    attacker = Attacker(num_classes)
    for layer in attacker.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if isinstance(layer, nn.MultiheadAttention):
            layer.dropout = 0.0
    return attacker


@pytest.mark.parametrize(
    ("settings", "noise", "saturating"),
    [
        ({}, {}, True),
        ({}, {"gradient": True}, True),
        ({}, {}, False),
        ({}, {"gradient": True}, False),
        ({"attacker_mode": "train"}, {"gradient": True}, True),
        ({"attacker_input": "logits"}, {"gradient": True}, True),
        ({"batch_norm": "running"}, {"gradient": True}, True),
        ({}, {"gradient": True, "noise_scale": 0.5, "divide": True, "norm": True}, True),
        ({"adversarial_weight": 0.9, "regulariser_weight": 2.0}, {"gradient": True}, False),
    ],
)
def test_the_defenders_gradient_is_that_of_equation_3(
    tiny: Any, build: Build, settings: dict[str, Any], noise: dict[str, Any], saturating: bool
) -> None:
    # A large alpha gives the terms about the same length: an attacker so little trained moves the defender little.
    settings = {"adversarial_weight": 50.0} | settings
    parts = {"sensitivity": sensitivity(**noise), "objective": MinMax(saturating), "attacker": without_dropout}
    module = build(pretraining_steps=5, **parts, **settings)
    record = Record()
    tiny.fit(module, record)
    for step in (0, 2):
        expected = equation_3(module, record, step, saturating)
        assert relative(record.gradients[step], expected) < 1e-5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sensitivity": sensitivity(gradient=True)}, {"sensitivity": sensitivity(gradient=False)}),
        ({"objective": MinMax(True)}, {"objective": MinMax(False)}),
        ({"attacker_input": "probabilities"}, {"attacker_input": "logits"}),
        ({"attacker_mode": "eval"}, {"attacker_mode": "train"}),
        ({"batch_norm": "batch"}, {"batch_norm": "running"}),
        ({"adversarial_weight": 200.0}, {"adversarial_weight": 100.0}),
        ({"regulariser_weight": 0.1}, {"regulariser_weight": 0.2}),
    ],
)
def test_a_setting_changes_the_defenders_gradient(
    tiny: Any, build: Build, first: dict[str, Any], second: dict[str, Any]
) -> None:
    found = []
    for settings in (first, second):
        record = Record()
        tiny.fit(build(**({"adversarial_weight": 200.0} | settings)), record)
        found.append(record.gradients[0])
    assert relative(*found) > 1e-2


# What the attacker sees


@pytest.mark.parametrize("attacker_input", ["probabilities", "logits"])
def test_attacker_input(build: Build, attacker_input: str) -> None:
    module = build(attacker_input=attacker_input, batch_norm="running")
    images, targets = torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    seen, same_logits, features = module.observe(images, targets, module.batch_norm)
    module.defender.eval()
    logits, same_features = module.defender(images)
    expected = logits if attacker_input == "logits" else logits.softmax(1)
    assert torch.equal(seen.prediction, expected)
    assert torch.equal(features, same_features)
    assert torch.equal(logits, same_logits)
    assert torch.equal(seen.targets, targets)
    assert (seen.sensitivity > 0).all()
    assert not module.observe(images, targets, "running", with_sensitivity=False).rows.sensitivity.any()


def test_small_noise_is_measured_in_float32(build: Build) -> None:
    module = build(batch_norm="running", sensitivity=sensitivity(noise_scale=1e-3, divide=True))
    images, targets = torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    network = copy.deepcopy(module.defender.network).double().eval()
    torch.manual_seed(0)
    noisy = [images + 1e-3 * torch.randn_like(images) for _ in range(2)]
    with torch.no_grad():
        clean, *moved = (network(each.double()).softmax(1) for each in (images, *noisy))
    expected = torch.stack([(each - clean).abs() for each in moved]).mean(0) / 1e-3
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            found = module.observe(images, targets, module.batch_norm).rows.sensitivity
        torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=2e-4)  # 1e-7 of a probability, divided by 1e-3


def test_membership_and_losses_are_float32_under_autocast(build: Build) -> None:
    module = build()
    images, targets = torch.randn(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        seen = module.observe(images, targets, module.batch_norm).rows
        assert {seen.prediction.dtype, seen.sensitivity.dtype, module.membership(seen).dtype} == {torch.float32}
        assert module.defender(images)[0].dtype == torch.bfloat16


# Objects in place of branches


def test_another_game_regulariser_and_attacker_are_objects(tiny: Any, build: Build) -> None:
    calls: dict[str, list[tuple[int, ...]]] = {"attacker": [], "defender": [], "regulariser": []}

    class Game:
        def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            calls["attacker"].append((*forget_logits.shape, *val_logits.shape))
            return (val_logits - forget_logits).mean()

        def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            calls["defender"].append((*forget_logits.shape, *val_logits.shape))
            return 0 * forget_logits.sum() + 5

    def regulariser(forget_features: Tensor, val_features: Tensor, retain_features: Tensor) -> Tensor:
        calls["regulariser"].append((*forget_features.shape, *val_features.shape, *retain_features.shape))
        return 0 * forget_features.sum() + 7

    class Judge(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.layer = nn.Linear(2 * num_classes, 1)

        def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            return self.layer(torch.cat([probabilities, sensitivity], 1)).squeeze(1)

    settings = {"objective": Game(), "regulariser": regulariser, "attacker": Judge}
    module, record, plain = build(**settings), Record(), Record()
    before = state(module.attacker)
    tiny.fit(module, record)
    tiny.fit(build(adversarial_weight=0.0, regulariser_weight=0.0), plain)
    assert calls == {"attacker": [(6, 6)] * 3, "defender": [(6, 6)] * 3, "regulariser": [(6, 8, 6, 8, 12, 8)] * 3}
    assert record.losses == pytest.approx([loss + 0.9 * 5 + 0.1 * 7 for loss in plain.losses], rel=1e-5)
    assert isinstance(module.attacker, Judge)
    assert changed(before, state(module.attacker)) == {"layer.weight", "layer.bias"}


def test_pretraining_uses_the_objects_too(tiny: Any, build: Build) -> None:
    class Game(MinMax):
        def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            calls.append((len(forget_logits), len(val_logits)))
            return super().attacker_loss(forget_logits, val_logits)

    calls: list[tuple[int, int]] = []
    tiny.fit(build(objective=Game(True), pretraining_steps=4, pretraining_batch_size=5))
    assert calls[:4] == [(5, 5)] * 4


@pytest.mark.parametrize("never", [{"adversarial_weight": 0.0}, {"adversarial_steps": 0}])
def test_no_game_no_pretraining(tiny: Any, build: Build, never: dict[str, float]) -> None:
    class Game(MinMax):
        def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
            raise AssertionError("the attacker was trained")

    tiny.fit(build(objective=Game(True), pretraining_steps=4, **never))


# Variants of the game


def several(num_classes: int) -> Several:
    statistics = partial(StatisticsAttacker, attacker_input="probabilities")
    return Several(num_classes, {"transformer": Attacker, "statistics": statistics})


VARIANTS: dict[str, dict[str, Any]] = {
    "non-saturating": {"objective": MinMax(False)},
    "wasserstein": {"objective": Wasserstein(), "penalty": partial(interpolated, weight=10.0)},
    "dragan": {"penalty": partial(dragan, weight=10.0, noise=0.5)},
    "vicreg": {"regulariser": partial(vicreg, invariance=25.0, variance=25.0, covariance=1.0)},
    "contrastive": {"regulariser": partial(contrastive, temperature=0.1)},
    "no regulariser": {"regulariser": Nothing()},
    "projector": {"projector": partial(mlp, width=5)},
    "statistics": {"attacker": partial(StatisticsAttacker, attacker_input="probabilities")},
    "several": {"attacker": several, "penalty": partial(interpolated, weight=10.0)},
    "class pairs": {"pairing": "class"},
    "gradient ascent": {"term": {"gradient_ascent": GradientAscent(0.1)}},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_in_every_variant_a_player_leaves_the_other(
    tiny: Any, build: Build, monkeypatch: pytest.MonkeyPatch, variant: dict[str, Any]
) -> None:
    module, record = build(attacker_steps=2, pretraining_steps=2, **variant), Record()
    step = module.attacker_step

    def watched(*arguments: Any) -> Tensor:
        defended, attacker = nn.ModuleList([module.defender, module.projector]), state(module.attacker)
        before, slopes = state(defended), gradients(defended)
        loss = step(*arguments)
        assert same(before, state(defended))
        assert same(slopes, gradients(defended))
        still = {"output.bias"} if isinstance(module.objective, Wasserstein) else set()  # a difference has no offset
        assert changed(attacker, state(module.attacker)) == set(attacker) - still
        tracked = [name for name in attacker if name.endswith("num_batches_tracked")]
        assert {int(state(module.attacker)[name] - attacker[name]) for name in tracked} == {2}  # the penalty adds none
        between.append((state(module.attacker), state(module.defender)))
        return loss

    between: list[tuple[State, State]] = []
    monkeypatch.setattr(module, "attacker_step", watched)
    tiny.fit(module, record)
    assert len(between) == 3
    for (attacker, defender), (defender_end, attacker_end) in zip(between, record.ends, strict=True):
        assert same(attacker, attacker_end)
        assert changed(defender, defender_end)
    assert torch.tensor(record.losses).isfinite().all()
    assert all(0 <= value <= 100 for value in module.findings.values())


def test_every_variant_is_another_training(tiny: Any, build: Build) -> None:
    ends = []
    for variant in ({}, *VARIANTS.values()):
        module = build(**variant)
        tiny.fit(module)
        ends.append(torch.cat([tensor.flatten().double() for tensor in state(module.defender).values()]))
    assert all(not torch.equal(*pair) for pair in itertools.combinations(ends, 2))


def test_the_penalty_is_of_the_attackers_loss_in_the_game_and_before_it(tiny: Any, build: Build) -> None:
    class Counting(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(num_classes)

        def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
            return self.norm(probabilities)[:, 0]

    def penalty(judge: Any, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        sizes.append((len(forget.targets), len(val.targets)))
        alone = torch.cat([judge(forget.at(slice(i, i + 1))) for i in range(len(forget.targets))])
        torch.testing.assert_close(judge(forget), alone)  # each sample by itself
        return 100 + 0 * forget.prediction.sum()

    sizes: list[tuple[int, int]] = []
    module, found = build(penalty=penalty, attacker=Counting, pretraining_steps=2, pretraining_batch_size=5), []
    module.record = lambda **values: found.append(float(values["attacker_loss"].detach()))
    tiny.fit(module)
    assert sizes == [(5, 5)] * 2 + [(6, 6)] * 3
    assert all(100 < loss < 110 for loss in found)


def test_the_projector_is_trained_with_the_defender_and_not_part_of_it(tiny: Any, build: Build) -> None:
    seen: list[tuple[int, ...]] = []

    def regulariser(forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        seen.append((*forget.shape, *val.shape, *retain.shape))
        return vicreg(forget, val, retain, 25.0, 25.0, 1.0)

    module = build(projector=partial(mlp, width=5), regulariser=regulariser)
    before, names = state(module.projector), set(state(module.defender))
    tiny.fit(module)
    assert seen == [(6, 5, 6, 5, 12, 5)] * 3
    assert changed(before, state(module.projector)) == set(before)
    assert module.projector[1].num_batches_tracked == 3  # all features together
    assert set(state(module.defender)) == names == set(state(tiny.defender()))


def test_without_a_regulariser_only_the_game_asks_for_a_pass(tiny: Any, build: Build) -> None:
    module = build(regulariser=Nothing(), adversarial_steps=1, sensitivity=sensitivity(copies=0), val_batch_size=4)
    count = Count(module)
    tiny.fit(module, count)
    assert count.steps == [(2, 2), (1, 0), (1, 0)]


def test_the_contrastive_regulariser_moves_retain_features(tiny: Any, build: Build) -> None:
    reached = []

    def regulariser(forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        reached.append(retain.requires_grad)
        return contrastive(forget, val, retain, 0.1)

    tiny.fit(build(regulariser=regulariser))
    assert reached == [True] * 3


def test_class_pairs(tiny: Any, build: Build) -> None:
    record = Record()
    tiny.fit(build(pairing="class", epochs=2), record)
    assert all(torch.equal(batch["forget"].targets, batch["val"].targets) for batch in record.batches)
    with pytest.raises(InputError, match="got 6 and 4"):
        build(pairing="class", val_batch_size=4, regulariser_weight=0.0)


@pytest.mark.parametrize("alone", [True, False])
def test_a_term_is_added_to_the_defenders_loss(tiny: Any, build: Build, alone: bool) -> None:
    class Term:
        def before_game(self, module: Any) -> None:
            calls.append(("before", state(module.attacker)))

        def loss(self, forget_logits: Tensor, forget_targets: Tensor) -> Tensor:
            calls.append(("loss", (*forget_logits.shape, *forget_targets.shape)))
            return 3 + 0 * forget_logits.sum()

    calls: list[tuple[str, Any]] = []
    weights = {"adversarial_weight": 0.0, "regulariser_weight": 0.0} if alone else {}
    record, plain, found = Record(), Record(), []
    module = build(term={"mine": Term()}, pretraining_steps=2, **weights)
    attacker = state(module.attacker)
    module.record = lambda **values: found.append(float(values["mine"].detach()))
    tiny.fit(module, record)
    tiny.fit(build(pretraining_steps=2, **weights), plain)
    assert record.losses == pytest.approx([loss + 3 for loss in plain.losses], rel=1e-5)
    assert [call for call, _ in calls] == ["before", "loss", "loss", "loss"]
    assert same(calls[0][1], attacker)  # before the pre-training
    assert calls[1][1] == (6, 3, 6)
    assert found == [3.0] * 3


def test_gradient_ascent_raises_the_loss_on_forget_images(tiny: Any, build: Build) -> None:
    losses = []
    for weight in (0.0, 1.0):
        module = build(term={"gradient_ascent": GradientAscent(weight)}, epochs=3)
        tiny.fit(module)
        forget = tiny.split().forget
        with torch.no_grad():
            logits = module.defender.eval()(tiny.transform.normalise(forget.images))[0]
        losses.append(float(nn.functional.cross_entropy(logits, forget.targets)))
    assert losses[1] > losses[0] + 0.5


# Batches and findings


def test_batch_sizes_must_match_for_the_regulariser(tiny: Any, build: Build) -> None:
    with pytest.raises(InputError, match=r"baseline\.forget_batch_size and baseline\.val_batch_size .* got 6 and 4 "):
        build(val_batch_size=4)
    module = build(val_batch_size=4, regulariser_weight=0.0)
    assert module.batch_sizes == {"retain": 12, "forget": 6, "val": 4}
    assert next(iter(module.batch_sizes)) == "retain"  # it decides the length of an epoch
    record = Record()
    tiny.fit(module, record)
    assert [len(batch["val"].targets) for batch in record.batches] == [4] * 3
    assert torch.tensor(record.losses).isfinite().all()


def test_a_single_image_can_be_forgotten(tiny: Any, build: Build) -> None:
    record = Record()
    tiny.fit(build(pretraining_steps=1), record, split=tiny.split(forget=1))
    assert [len(batch["forget"].targets) for batch in record.batches] == [6] * 3
    assert torch.tensor(record.losses).isfinite().all()


def test_findings(tiny: Any, build: Build) -> None:
    module = build(pretraining_steps=3)
    tiny.fit(module)
    assert module.findings.keys() == {
        "balanced_accuracy_pretrained",
        "balanced_accuracy_final",
        "mean_output_forget",
        "mean_output_val",
    }
    for name, value in module.findings.items():
        assert type(value) is float
        assert 0 <= value <= (100 if name.startswith("balanced") else 1)


def test_mean_outputs_are_the_attackers_on_forget_and_val(tiny: Any, build: Build) -> None:
    module = build(batch_norm="running", sensitivity=sensitivity(copies=0), pretraining_batch_size=12, epochs=2)
    tiny.fit(module)
    split = tiny.split()
    module.eval()
    with torch.no_grad():
        for name in ("forget", "val"):
            part = getattr(split, name)
            probabilities = module.defender.network(tiny.transform.normalise(part.images)).softmax(1)
            outputs = module.attacker(probabilities, torch.zeros_like(probabilities), part.targets).sigmoid()
            assert module.findings[f"mean_output_{name}"] == pytest.approx(float(outputs.mean()), rel=1e-5)


@pytest.mark.parametrize("selection", [False, True])
def test_unseen_samples_judge_an_attacker_that_never_saw_them(tiny: Any, build: Build, selection: bool) -> None:
    module = build(pretraining_steps=2)
    observed, observe_parts = [], module.observe_parts

    def watched(parts: Any, *epoch: int) -> Any:
        observed.append({name: set(part.ids) for name, part in parts.items()})
        return observe_parts(parts, *epoch)

    module.observe_parts = watched  # type: ignore[method-assign]
    split = tiny.split(judge=9 if selection else 0)
    tiny.fit(module, split=split)
    members, nonmembers = (set(module.unseen[name].ids) for name in ("members", "nonmembers"))
    fitted, pretrained, final_parts, final = observed
    assert fitted["members"] == set(split.train.ids) - members  # D, forget samples included, less the judges
    assert fitted["nonmembers"] == set(split.val.ids)
    assert members < set(split.retain.ids)
    assert not members & set(split.forget.ids)
    assert nonmembers == set((split.judge if selection else split.test_retain).ids)
    assert not (members | nonmembers) & (fitted["members"] | fitted["nonmembers"])
    assert pretrained == final == {"members": members, "nonmembers": nonmembers}
    assert final_parts == {"forget": set(split.forget.ids), "val": set(split.val.ids)}


def test_pretraining_moves_only_the_attacker(tiny: Any, build: Build) -> None:
    module, record = build(pretraining_steps=3), Record()
    before = state(module.defender), state(module.attacker)
    tiny.fit(module, record)
    defender, attacker = record.starts[0]
    assert same(before[0], defender)
    assert changed(before[1], attacker) == set(attacker)
    untrained, plain = build(pretraining_steps=0), Record()
    tiny.fit(untrained, plain)
    assert same(before[1], plain.starts[0][1])
    assert "balanced_accuracy_pretrained" in untrained.findings


def test_records_what_the_game_is_made_of(tiny: Any, build: Build) -> None:
    module, found = build(pretraining_steps=1), []
    module.record = lambda **values: found.append(
        {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}
    )
    tiny.fit(module)
    for values in found:
        terms = values["retain_loss"] + 0.9 * values["adversarial_loss"] + 0.1 * values["regulariser"]
        assert values["loss"] == pytest.approx(terms, rel=1e-5)
        assert values["adversarial_weight"] == pytest.approx(0.9)
        assert values["attacker_loss"] > 0


# Reproducibility


def test_same_seed_gives_the_same_game(tiny: Any, build: Build) -> None:
    states = []
    for seed in (0, 0, 1):
        module = build(seed=seed, pretraining_steps=2)
        torch.manual_seed(len(states))
        tiny.fit(module)
        states.append(state(module))
    assert same(states[0], states[1])
    assert changed(states[0], states[2])


# Ten steps on the CPU in float32. They change only in a commit that says so.
TRACE = [0.523285, 0.963239, 0.877666, 0.557096, 0.703239, 0.760279, -0.167745, 0.567382, 0.364311, 0.807518]


def test_loss_trace(tiny: Any, build: Build) -> None:
    module = build(
        retain_batch_size=8, epochs=2, pretraining_steps=5, schedule="linear", lr=0.02, sensitivity=sensitivity(gradient=True)
    )
    record = Record()
    tiny.fit(module, record)
    assert record.losses == pytest.approx(TRACE, rel=1e-3)


# Every open reading of the paper has a default, which the README states


def test_default_readings() -> None:
    settings = composed("baseline=dau").baseline
    assert settings.batch_norm == "batch"
    assert settings.attacker_input == "probabilities"
    assert settings.attacker_mode == "eval"
    assert settings.objective == {"_target_": "dau_lightning.game.objective.MinMax", "saturating": True}
    assert settings.sensitivity.noise_scale == 1.0
    assert settings.sensitivity.divide is False
    assert settings.sensitivity.norm is False
    assert settings.sensitivity.gradient is False
    assert settings.attacker == {"_target_": "dau_lightning.game.attacker.Attacker", "_partial_": True}
    assert settings.regulariser["_target_"] == "dau_lightning.game.regulariser.redundancy_reduction"
    assert settings.penalty["_target_"] == "dau_lightning.game.penalty.none"
    assert settings.projector["_target_"] == "torch.nn.Identity"
    assert settings.term == {}
    assert settings.pairing == "random"
    assert settings.adversarial_steps is None
    assert settings.attacker_steps == 1
    assert settings.sensitivity.copies == 0
    said = " ".join((CONF.parent / "README.md").read_text().split())
    for words in (
        "saturating objective, no gradient through the sensitivity, noise N(0, 1) on normalised pixels and not divided",
        "a change a class (no norm), batch statistics for forget and val images with running ones untouched",
        "softmax as the attacker's input, the attacker in evaluation mode in the defender's step",
        "`copies=0` (no sensitivity, the paper has it)",
    ):
        assert words in said

import math
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from dau_lightning.base.randomness import key
from dau_lightning.data.loader import Batch
from dau_lightning.training.mode import batch_norm, evaluating, frozen
from dau_lightning.training.module import LOG_EVERY, log
from dau_lightning.training.sgd import SGDMethod, rate_factor


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
    """Notes the rates, the steps and whether the noise of each step comes from its key."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.steps: list[int] = []
        self.progress: list[float] = []
        self.draws: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.steps.append(pl_module.step)
        self.progress.append(pl_module.progress)
        self.draws.append(float(torch.rand(())))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# rate_factor


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 1, 0.5: 1, 0.999: 1}),
        ("linear", {0: 1, 0.25: 0.75, 0.5: 0.5, 0.9: 0.1}),
        ("one_cycle", {0: 0.1, 0.1: 0.55, 0.2: 1, 0.6: 0.5, 0.8: 0.25, 0.96: 0.05}),
        ("step", {0: 1, 90.99 / 182: 1, 91 / 182: 0.1, 135.99 / 182: 0.1, 136 / 182: 0.01, 0.9999: 0.01}),
    ],
)
def test_rate_factor(schedule: str, values: dict[float, float]) -> None:
    for progress, value in values.items():
        assert rate_factor(schedule, progress, [91 / 182, 136 / 182]) == pytest.approx(value, abs=1e-12)


def test_rate_factor_takes_milestones_only_for_step() -> None:
    assert rate_factor("linear", 0.5, [0.1]) == 0.5
    assert rate_factor("step", 0.99) == 1


def test_rate_factor_refuses_another_schedule() -> None:
    with pytest.raises(ValueError, match=r"schedule must be constant, linear, one_cycle or step, got 'cosine'"):
        rate_factor("cosine", 0.5)


# batch_norm, frozen, evaluating


@pytest.fixture
def layer() -> nn.BatchNorm1d:
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(3)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.normal_()
        layer(torch.randn(20, 3) * 2 + 1)  # running statistics that differ from those of any later batch
    return layer


INPUTS = torch.linspace(-2, 5, 24).view(8, 3).square()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_batch_uses_statistics_of_the_batch_and_changes_nothing(layer: nn.BatchNorm1d, training: bool) -> None:
    layer.train(training)
    before = state(layer)
    with batch_norm(layer, "batch"):
        outputs = layer(INPUTS)
    expected = F.batch_norm(INPUTS, None, None, layer.weight, layer.bias, training=True)
    assert torch.equal(outputs, expected)
    centred = (INPUTS - INPUTS.mean(0)) / (INPUTS.var(0, unbiased=False) + layer.eps).sqrt()
    torch.testing.assert_close(outputs, centred * layer.weight + layer.bias)
    assert same(before, state(layer))
    assert "num_batches_tracked" in before
    assert (layer.training, layer.track_running_stats) == (training, True)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_update_changes_the_running_statistics(layer: nn.BatchNorm1d, training: bool) -> None:
    layer.train(training)
    before = state(layer)
    with batch_norm(layer, "update"):
        outputs = layer(INPUTS)
    assert torch.equal(outputs, F.batch_norm(INPUTS, None, None, layer.weight, layer.bias, training=True))
    torch.testing.assert_close(layer.running_mean, 0.9 * before["running_mean"] + 0.1 * INPUTS.mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 * before["running_var"] + 0.1 * INPUTS.var(0))
    assert layer.num_batches_tracked == before["num_batches_tracked"] + 1
    assert (layer.training, layer.track_running_stats) == (training, True)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_running_is_evaluation_mode(layer: nn.BatchNorm1d, training: bool) -> None:
    expected = layer.eval()(INPUTS)
    layer.train(training)
    before = state(layer)
    with batch_norm(layer, "running"):
        outputs = layer(INPUTS)
    assert torch.equal(outputs, expected)
    assert not torch.allclose(outputs, F.batch_norm(INPUTS, None, None, layer.weight, layer.bias, training=True))
    assert same(before, state(layer))
    assert (layer.training, layer.track_running_stats) == (training, True)


def test_batch_norm_leaves_other_layers_alone() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.Dropout(), nn.BatchNorm2d(2)))
    network.train()
    with batch_norm(network, "running"):
        assert [module.training for module in network.modules()] == [True, False, True, True, False]
    network.eval()
    with batch_norm(network, "batch"):
        assert [module.training for module in network.modules()] == [False, True, False, False, True]


@pytest.mark.parametrize("mode", ["batch", "update", "running"])
def test_batch_norm_restores_modes_after_an_exception(mode: str) -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3).eval())
    before = [(layer.training, layer.track_running_stats) for layer in network]
    with pytest.raises(ZeroDivisionError), batch_norm(network, mode):
        raise ZeroDivisionError
    assert [(layer.training, layer.track_running_stats) for layer in network] == before


def test_batch_norm_refuses_another_mode(layer: nn.BatchNorm1d) -> None:
    with pytest.raises(ValueError, match="batch_norm must be batch, update or running, got 'eval'"):
        batch_norm(layer, "eval")


def test_frozen_lets_gradients_through_to_the_inputs_only() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    network[2].bias.requires_grad_(False)  # frozen before, and frozen afterwards
    inputs = torch.randn(5, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(network(inputs).sum(), inputs)
    with frozen(network):
        network(inputs).sum().backward()
    assert torch.equal(inputs.grad, expected)
    assert expected.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [parameter.requires_grad for parameter in network.parameters()] == [True, True, True, False]


def test_frozen_restores_after_an_exception() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), frozen(network):
        raise ZeroDivisionError
    assert network.weight.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_restores(training: bool) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train(training)
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert all(module.training is training for module in network.modules())
    with pytest.raises(ZeroDivisionError), evaluating(network):
        raise ZeroDivisionError
    assert all(module.training is training for module in network.modules())


# log, record


def test_log_sends_numbers_under_the_phase_to_every_logger() -> None:
    loggers = Memory(), Memory()
    log(loggers, "unlearning", 7, {"loss": torch.tensor(0.5, requires_grad=True), "alpha": 0.9})
    for logger in loggers:
        assert logger.rows == [({"unlearning/loss": 0.5, "unlearning/alpha": 0.9}, 7)]
        assert all(type(value) is float for value in logger.rows[0][0].values())


def test_record_logs_every_fiftieth_step_over_all_epochs(tiny: Any) -> None:
    logger = Memory()
    module = tiny.module(batch_size=1, epochs=4)  # epochs of 36 steps
    tiny.fit(module, loggers=[logger])
    assert LOG_EVERY == 50
    assert [step for _, step in logger.rows] == [0, 50, 100]
    assert all(metrics.keys() == {"unlearning/loss"} and math.isfinite(*metrics.values()) for metrics, _ in logger.rows)


# training


@pytest.mark.parametrize(
    ("schedule", "milestones"), [("constant", []), ("linear", []), ("one_cycle", []), ("step", [1, 3]), ("step", [2])]
)
def test_learning_rate_follows_the_schedule(tiny: Any, schedule: str, milestones: list[int]) -> None:
    watch = Watch()
    tiny.fit(tiny.module(schedule=schedule, milestones=milestones, epochs=4, lr=0.02), watch)
    expected = [0.02 * rate_factor(schedule, step / 12, [m / 4 for m in milestones]) for step in range(12)]
    assert watch.rates == pytest.approx(expected, rel=1e-12)


def test_a_milestone_is_the_epoch_whose_first_step_has_the_lower_rate(tiny: Any) -> None:
    watch = Watch()
    tiny.fit(tiny.module(schedule="step", milestones=[1, 3], epochs=4, lr=1.0), watch)
    assert watch.rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01], rel=1e-12)


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


def test_a_step_is_sgd_on_the_cross_entropy_of_the_part(tiny: Any) -> None:
    module = tiny.module(batch_size=36, epochs=2, lr=0.1, weight_decay=0.01)
    reference = tiny.defender()
    velocity = [torch.zeros_like(parameter) for parameter in reference.parameters()]
    batches: list[Batch] = []

    class Keep(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batches.append(batch["retain"])

    tiny.fit(module, Keep())
    for images, targets in batches:
        probabilities = reference.network(images).softmax(1)
        loss = -probabilities[torch.arange(36), targets].log().mean()
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        with torch.no_grad():
            for parameter, gradient, speed in zip(reference.parameters(), gradients, velocity, strict=True):
                speed.mul_(0.9).add_(gradient + 0.01 * parameter)
                parameter.sub_(0.1 * speed)
    assert len(batches) == 2
    torch.testing.assert_close(state(module.defender), state(reference), rtol=1e-4, atol=1e-6)


def test_batch_norm_drifts_to_the_part(tiny: Any) -> None:
    module = tiny.module(batch_size=36, epochs=1)
    tiny.fit(module)
    assert module.defender.network[0][1].num_batches_tracked == 1
    assert module.batch_sizes == {"retain": 36}


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


def test_another_part_is_trained_by_another_class_attribute(tiny: Any) -> None:
    class OnForget(SGDMethod):
        part = "forget"

    assert set(tiny.seen(OnForget)) == set(range(36, 48))

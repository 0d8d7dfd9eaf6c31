import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dau_lightning.training.mode import batch_norm, evaluating, frozen
from tests.whole_game import same, state


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


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norm_knows_every_kind_of_batch_norm(kind: type[nn.BatchNorm1d]) -> None:
    layer = kind(3)
    with batch_norm(layer, "running"):
        assert not layer.training
    with batch_norm(layer, "batch"):
        assert (layer.training, layer.track_running_stats) == (True, False)


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
    with pytest.raises(ValueError, match="batch_norm must be batch, update or running, got 'eval'"), batch_norm(layer, "eval"):
        pass


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

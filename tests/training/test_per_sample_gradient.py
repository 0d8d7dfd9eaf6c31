import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.network import convnet
from dau_lightning.network.defender import Defender
from dau_lightning.training.per_sample_gradient import (
    expected_squares,
    move,
    per_sample_gradients,
    samples_a_pass,
    weighted_gradient,
)
from dau_lightning.training.per_sample_pass import PerSamplePass


@pytest.fixture
def defender(tiny: Any) -> Defender:
    """In training mode, with dropout, and running statistics unlike those of any batch."""
    defender = tiny.defender()
    defender.network.insert(-1, nn.Dropout(0.5))
    defender(torch.randn(20, 1, 4, 4) * 2 + 1)
    return defender.train()


@pytest.fixture
def samples() -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return torch.randn(7, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2, 2])


def one_by_one(defender: Defender, images: Tensor, targets: Tensor) -> Tensor:
    """Ordinary backward passes of batches of one."""
    network, rows = copy.deepcopy(defender.network).eval(), []
    for image, target in zip(images.split(1), targets.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(network(image), target), list(network.parameters()))
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


def test_they_are_the_gradients_of_batches_of_one(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    found = per_sample_gradients(defender, *samples)
    assert found.shape == (7, sum(parameter.numel() for parameter in defender.parameters()))
    torch.testing.assert_close(found, one_by_one(defender, *samples), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_passes_and_blocks_change_nothing(
    defender: Defender, samples: tuple[Tensor, Tensor], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = per_sample_gradients(defender, *samples)
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.samples_a_pass", lambda *_: size)
    torch.testing.assert_close(per_sample_gradients(defender, *samples), whole)
    monkeypatch.setattr("dau_lightning.training.per_sample_pass.BLOCK_BYTES", {"cpu": 1})
    torch.testing.assert_close(per_sample_gradients(defender, *samples), whole)


def test_a_network_that_gives_logits_alone(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(per_sample_gradients(defender.network, *samples), per_sample_gradients(defender, *samples))


def test_channels_last_and_frozen_parameters_change_nothing(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    expected = one_by_one(defender, *samples)
    defender.requires_grad_(False).to(memory_format=torch.channels_last)
    torch.testing.assert_close(per_sample_gradients(defender, *samples), expected, rtol=1e-4, atol=1e-6)


def test_they_are_float32_under_autocast(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    expected = per_sample_gradients(defender, *samples), weighted_gradient(defender, *samples, torch.ones(7))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(per_sample_gradients(defender, *samples), expected[0])
        assert torch.equal(weighted_gradient(defender, *samples, torch.ones(7)), expected[1])


def test_the_model_is_left_as_it_was(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in defender.state_dict().items()}
    per_sample_gradients(defender, *samples)
    weighted_gradient(defender, *samples, torch.ones(7))
    expected_squares(defender, samples[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in defender.state_dict().items())
    assert all(module.training for module in defender.modules())
    assert all(parameter.grad is None for parameter in defender.parameters())
    assert defender._features is None
    assert not any(module._forward_hooks for module in defender.modules())


def test_weighted_gradient_is_their_weighted_sum(
    defender: Defender, samples: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.randn(7, dtype=torch.float64)
    expected = weights @ one_by_one(defender, *samples).double()
    torch.testing.assert_close(weighted_gradient(defender, *samples, weights), expected, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.BATCH", 3)
    torch.testing.assert_close(weighted_gradient(defender, *samples, weights), expected, rtol=1e-4, atol=1e-6)


def test_pruned_weights_are_constants(defender: Defender, samples: tuple[Tensor, Tensor]) -> None:
    full = per_sample_gradients(defender, *samples)
    kept = torch.rand(8, 4, 3, 3) < 0.5
    defender.mask = {"1.0.weight": kept}
    where = torch.cat(
        [
            (kept if name == "1.0.weight" else torch.ones_like(each)).flatten()
            for name, each in defender.network.named_parameters()
        ]
    ).bool()
    assert not where.all()
    assert torch.equal(per_sample_gradients(defender, *samples), full * where)
    assert not weighted_gradient(defender, *samples, torch.ones(7))[~where].any()


@pytest.mark.parametrize(("budget", "expected"), [(0, 1), (2 * 8400, 2), (10**9, 128)])
def test_samples_a_pass(budget: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 4 bytes: 100 numbers go into a layer, 1,000 come out, and as many come back."""
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.PASS_BYTES", {"cpu": budget})
    assert samples_a_pass(nn.Linear(100, 1000, bias=False), torch.randn(5, 100)) == expected


@pytest.mark.parametrize(("budget", "expected"), [(0, 1), (2 * 8 * 4, 2)])
def test_samples_a_pass_of_an_unknown_layer(budget: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 4 parameters, and all gradients at once."""
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.PASS_BYTES", {"cpu": budget})
    assert samples_a_pass(nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2, bias=False)), torch.randn(5, 2)) == expected


def test_what_a_sample_takes_is_measured_once(
    defender: Defender, samples: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(PerSamplePass):
        def __init__(self, model: nn.Module, images: Tensor) -> None:
            passes.append(len(images))
            super().__init__(model, images)

    passes: list[int] = []
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.PerSamplePass", Counting)
    for _ in range(3):
        per_sample_gradients(defender, *samples)
    assert passes == [1, 7, 7, 7]


def test_move_adds_in_the_order_of_the_parameters() -> None:
    defender = Defender(convnet(3, 1, 4).to(memory_format=torch.channels_last))
    before = [parameter.clone() for parameter in defender.parameters()]
    change = torch.randn(sum(map(torch.numel, before)), dtype=torch.float64)
    move(defender, change)
    first = 0
    for old, new in zip(before, defender.parameters(), strict=True):
        expected = old + change[first : first + old.numel()].view(old.shape).float()
        torch.testing.assert_close(new.detach(), expected, rtol=0, atol=1e-6)
        assert new.stride() == old.stride()
        first += old.numel()
    assert first == len(change)

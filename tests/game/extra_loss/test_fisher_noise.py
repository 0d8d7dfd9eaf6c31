from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.baseline.fisher import fisher_diagonal
from dau_lightning.data.loader import Batch
from dau_lightning.game.extra_loss import fisher_noise
from dau_lightning.game.extra_loss.fisher_noise import FisherNoise

CALLS: list[Tensor] = []


def diagonal(model: nn.Module, images: Tensor) -> Tensor:
    """A Fisher diagonal that is known: 0 and 4 in turn."""
    CALLS.append(images)
    size = sum(parameter.numel() for parameter in model.parameters())
    return 4.0 * (torch.arange(size) % 2)


@pytest.fixture(autouse=True)
def fisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher_noise, "fisher_diagonal", diagonal)
    CALLS.clear()


def method(tiny: Any, seed: int = 0) -> Any:
    split = tiny.split()
    data = SimpleNamespace(part=lambda name: getattr(split, name), transform=tiny.transform)
    defender = tiny.defender().to(memory_format=torch.channels_last)  # as in a run
    return SimpleNamespace(defender=defender, data=data, seed=seed, memory={})


def flat(defender: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in defender.parameters()])


def change(tiny: Any, noise: FisherNoise, seed: int = 0) -> Tensor:
    module = method(tiny, seed)
    before = flat(module.defender)
    noise.begin(module)
    return flat(module.defender) - before


def test_noise_has_the_variance_of_the_formula(tiny: Any) -> None:
    noise = torch.cat([change(tiny, FisherNoise(0.04, 0.1, None), seed) for seed in range(20)]).view(20, -1)
    assert noise[:, ::2].std().item() == pytest.approx((0.04 / 0.4) ** 0.5, rel=0.02)  # at the floor, a tenth of the mean
    assert noise[:, 1::2].std().item() == pytest.approx((0.04 / 4) ** 0.5, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)


def test_noise_is_a_function_of_the_seed(tiny: Any) -> None:
    first, second, other = (change(tiny, FisherNoise(0.04, 0.1, None), seed) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("samples", "count"), [(None, 36), (12, 12), (1000, 36)])
def test_looks_at_retain_images_only(tiny: Any, samples: int | None, count: int) -> None:
    module = method(tiny)
    FisherNoise(0.04, 0.1, samples).begin(module)
    (images,) = CALLS
    retain = module.data.part("retain")
    of_retain = {image.numpy().tobytes() for image in tiny.transform.normalise(retain.images)}
    assert len({image.numpy().tobytes() for image in images} & of_retain) == len(images) == count


def test_pruned_weights_stay_zero(tiny: Any) -> None:
    module = method(tiny)
    name, weight = next(iter(module.defender.network.named_parameters()))
    module.defender.set_mask({name: torch.arange(weight.numel()).view_as(weight) % 2 == 0})
    FisherNoise(0.04, 0.1, None).begin(module)
    assert torch.equal(weight.detach() != 0, module.defender.mask[name])
    assert module.defender.holds_mask()


def test_frozen_and_held_weights_stay(tiny: Any) -> None:
    module = method(tiny)
    before, moves = flat(module.defender), torch.arange(len(flat(module.defender))) % 3 > 0
    module.memory["moves"] = moves
    first = next(module.defender.parameters()).requires_grad_(False)
    FisherNoise(0.04, 0.1, None).begin(module)
    moves[: first.numel()] = False
    assert torch.equal(flat(module.defender) != before, moves)


def test_adds_nothing_to_the_loss() -> None:
    assert FisherNoise(0.04, 0.1, None).loss(None, {"retain": Batch(torch.ones(2, 1, 4, 4), torch.tensor([0, 1]))}, None) == 0  # type: ignore[arg-type]


def test_the_real_diagonal_fits_the_parameters(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher_noise, "fisher_diagonal", fisher_diagonal)
    found = change(tiny, FisherNoise(1e-9, 0.1, 12))
    assert (found != 0).float().mean() > 0.9
    assert found.abs().max() < 6e-2

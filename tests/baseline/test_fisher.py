import copy
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.randomness import generator
from dau_lightning.baseline.fisher import FisherForgetting, fisher_diagonal, fisher_noise

SETTINGS: dict[str, Any] = {"seed": 0, "batch_size": 10, "alpha": 1e-4, "relative_floor": 0.1, "samples": 20}


def method(tiny: Any, **changes: Any) -> FisherForgetting:
    return FisherForgetting(**({"defender": tiny.defender()} | SETTINGS | changes))


def exact_diagonal(network: nn.Module, images: Tensor) -> Tensor:
    """`1/N sum_x J(x)^T (diag p - p p^T) J(x)`, the Fisher matrix by the Jacobian of the logits; float64, one row at a time."""
    network = copy.deepcopy(network).double().eval()
    parameters, total = list(network.parameters()), torch.zeros((), dtype=torch.float64)
    for image in images.double().split(1):
        logits = network(image)[0]
        rows = [torch.autograd.grad(logit, parameters, retain_graph=True) for logit in logits]
        jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
        p = logits.softmax(0).detach()
        total = total + (jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian).diagonal()
    return total / len(images)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_the_diagonal_is_that_of_the_exact_fisher_matrix() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    images = 2 * torch.randn(13, 4)
    expected = exact_diagonal(network, images)
    assert relative(fisher_diagonal(network, images, torch.zeros(13, dtype=torch.long)), expected) < 1e-6
    assert torch.equal(fisher_diagonal(network, images), fisher_diagonal(network, images, torch.ones(13, dtype=torch.long)))
    assert relative(fisher_diagonal(copy.deepcopy(network).double(), images.double()), expected) < 1e-12


def test_diagonal_of_a_network_with_batch_norm(tiny: Any) -> None:
    defender, images = tiny.defender().train(), tiny.transform.normalise(tiny.images("retain", 9).images)
    before = {name: tensor.clone() for name, tensor in defender.state_dict().items()}
    assert relative(fisher_diagonal(defender, images), exact_diagonal(defender.network, images)) < 1e-5
    assert all(torch.equal(before[name], tensor) for name, tensor in defender.state_dict().items())


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_the_size_of_a_pass_changes_nothing(tiny: Any, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    defender, images = tiny.defender(), tiny.transform.normalise(tiny.images("retain", 5).images)
    expected = fisher_diagonal(defender, images)
    monkeypatch.setattr("dau_lightning.training.per_sample_gradient.samples_a_pass", lambda *_: samples)
    torch.testing.assert_close(fisher_diagonal(defender, images), expected)


def test_the_diagonal_is_no_square_of_a_mean_gradient() -> None:
    torch.manual_seed(0)
    network, image = nn.Linear(4, 3), torch.randn(1, 4)
    twice = torch.cat([image, -image])  # opposite gradients: their mean nearly vanishes
    network.bias.data.zero_()
    both = (fisher_diagonal(network, image) + fisher_diagonal(network, -image)) / 2
    torch.testing.assert_close(fisher_diagonal(network, twice), both)


class Seen(L.Callback):
    """Collects the images of all steps."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.images.append(batch["retain"].images)

    def numbers(self, all_images: Tensor) -> list[int]:
        """Which of some images they are, in order."""
        return sorted(int((all_images - image).flatten(1).abs().sum(1).argmin()) for image in torch.cat(self.images))


@pytest.mark.parametrize("samples", [20, None, 500])
def test_the_noise_has_the_variance_of_the_formula(tiny: Any, samples: int | None) -> None:
    seen = Seen()
    module = method(tiny, samples=samples)
    before = torch.cat([parameter.detach().flatten().clone() for parameter in module.defender.parameters()])
    tiny.fit(module, seen)
    diagonal = exact_diagonal(tiny.defender().network, torch.cat(seen.images))
    noise = torch.randn(len(before), generator=generator(0, "unlearning", "noise"))
    sizes = [parameter.numel() for parameter in module.defender.parameters()]
    floors = torch.cat([(0.1 * part[part > 0].mean()).expand(len(part)) for part in diagonal.split(sizes)])
    expected = (1e-4 / torch.maximum(diagonal, floors)).sqrt() * noise
    after = torch.cat([parameter.detach().flatten() for parameter in module.defender.parameters()])
    torch.testing.assert_close((after - before).double(), expected, rtol=1e-3, atol=1e-6)
    assert (diagonal < floors).any()
    assert (diagonal < floors).double().mean() < 0.6  # of a network that has learned nothing


def test_a_layer_without_information_takes_no_noise() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    noise = fisher_noise(network, torch.tensor([0.0, 0, 0, 0, 0, 1]), 1e-2, 0.01, generator(0, "noise"))
    assert noise[:4].tolist() == [0, 0, 0, 0]
    assert (noise[4:] != 0).all()


def test_samples_are_drawn_at_random_by_the_seed(tiny: Any) -> None:
    retain, drawn = tiny.transform.normalise(tiny.split().retain.images), []
    for seed, samples in ((0, 12), (0, 12), (1, 12), (0, None), (0, 500)):
        tiny.fit(method(tiny, seed=seed, samples=samples), seen := Seen())
        drawn.append(seen.numbers(retain))
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(set(each)) for each in drawn] == [12, 12, 12, 36, 36]
    assert drawn[0] != list(range(12))


def test_running_statistics_stay(tiny: Any) -> None:
    module = method(tiny)
    before = {name: buffer.clone() for name, buffer in module.defender.named_buffers()}
    tiny.fit(module)
    assert before
    assert all(torch.equal(before[name], buffer) for name, buffer in module.defender.named_buffers())

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.baseline.influence import InfluenceUnlearning, inverse_fisher_product
from dau_lightning.data.split import Split
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from tests.one_step import sample_gradients

SETTINGS: dict[str, Any] = {"seed": 0, "batch_size": 10, "scale": 1.0, "damping": 1e-2, "samples": 36}


def method(tiny: Any, **changes: Any) -> InfluenceUnlearning:
    return InfluenceUnlearning(**({"defender": tiny.defender()} | SETTINGS | changes))


def small_case(count: int) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A network of 43 parameters, samples, and a vector."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return network, torch.randn(count, 4), torch.randint(3, (count,)), torch.randn(43)


def exact_product(gradients: Tensor, vector: Tensor, damping: float) -> Tensor:
    """By the explicit inverse."""
    fisher = gradients.T @ gradients / len(gradients)
    return torch.linalg.inv(fisher + damping * torch.eye(len(vector), dtype=torch.float64)) @ vector.double()


def recursion(gradients: Tensor, vector: Tensor, damping: float) -> Tensor:
    """WoodFisher as it is printed: the inverse after each further sample, by Sherman and Morrison, then applied."""
    inverse = torch.eye(len(vector), dtype=torch.float64) / damping
    for gradient in gradients:
        turned = inverse @ gradient
        inverse = inverse - torch.outer(turned, turned) / (len(gradients) + gradient @ turned)
    return inverse @ vector.double()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("damping", [1e-3, 1e-1, 1.0])
@pytest.mark.parametrize("count", [1, 20, 43, 120])
def test_the_product_is_that_of_the_exact_inverse_and_of_the_recursion(count: int, damping: float) -> None:
    network, images, targets, vector = small_case(count)
    gradients = sample_gradients(network, images, targets)
    expected = exact_product(gradients, vector, damping)
    assert relative(recursion(gradients, vector, damping), expected) < 1e-9
    found = inverse_fisher_product(network, images, targets, vector, damping)
    assert relative(found, expected) < 1e-5
    assert found.dtype == torch.float32
    double = inverse_fisher_product(copy.deepcopy(network).double(), images.double(), targets, vector.double(), damping)
    assert relative(double, expected) < 1e-11


@pytest.mark.parametrize("count", [20, 120])
def test_a_vector_in_the_span_of_the_gradients(count: int) -> None:
    network, images, targets, _ = small_case(count)
    gradients = sample_gradients(network, images, targets)
    vector = gradients.mean(0)
    expected = exact_product(gradients, vector, 1e-3)
    assert relative(inverse_fisher_product(network, images, targets, vector, 1e-3), expected) < 1e-4


@pytest.mark.parametrize(("stored", "made"), [(5, 5), (7, 3), (8, 40)])
def test_gradients_that_do_not_fit_are_made_again(stored: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, targets, vector = small_case(24)
    expected = exact_product(sample_gradients(network, images, targets), vector, 1e-2)
    monkeypatch.setattr("dau_lightning.baseline.influence.STORED_BYTES", {"cpu": stored * 43 * 4})
    monkeypatch.setattr("dau_lightning.baseline.influence.BESIDE_BYTES", {"cpu": made * 43 * 4})
    assert relative(inverse_fisher_product(network, images, targets, vector, 1e-2), expected) < 1e-5


def test_without_damping_a_fisher_matrix_of_full_rank_is_inverted() -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 3, bias=False).double()  # softmax leaves one direction of each column open: rank 8 of 12
    images, targets = torch.randn(60, 4, dtype=torch.float64), torch.randint(3, (60,))
    with pytest.raises(InputError, match=r"baseline\.damping must be above 0.* 12 parameters has rank 8 .*got 0"):
        inverse_fisher_product(network, images, targets, torch.randn(12, dtype=torch.float64), 0)

    class TwoOfThree(nn.Module):  # the third logit is fixed
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2, bias=False).double()

        def forward(self, images: Tensor) -> Tensor:
            return F.pad(self.linear(images), (0, 1))

    network, vector = TwoOfThree(), torch.randn(8, dtype=torch.float64)
    expected = exact_product(sample_gradients(network, images, targets), vector, 0)
    assert relative(inverse_fisher_product(network, images, targets, vector, 0), expected) < 1e-9


@pytest.mark.parametrize(("count", "damping"), [(20, 0.0), (20, -0.1), (120, -0.1)])
def test_no_damping_with_a_singular_fisher_matrix(count: int, damping: float) -> None:
    network, images, targets, vector = small_case(count)
    with pytest.raises(InputError, match=r"baseline\.damping must be above 0.*; got"):
        inverse_fisher_product(network, images, targets, vector, damping)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"damping": 0.0}, r"baseline\.damping must be above 0, since .* rank 36 at most"),
        ({"samples": None}, r"baseline\.samples must be at most 8000.*got null"),
        ({"samples": 8001}, r"baseline\.samples must be at most 8000.*got 8001"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_the_constructor(tiny: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        method(tiny, **changes)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_change_is_the_formula(tiny: Any, scale: float) -> None:
    module, split = method(tiny, scale=scale), tiny.split()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in module.defender.parameters()])
    tiny.fit(module)
    network = tiny.defender().network
    retain, forget = (
        sample_gradients(network, tiny.transform.normalise(part.images), part.targets) for part in (split.retain, split.forget)
    )
    vector = 12 / 48 * (forget.mean(0) - retain.mean(0))
    after = torch.cat([parameter.detach().flatten() for parameter in module.defender.parameters()])
    assert relative((after - before).double(), scale * exact_product(retain, vector, 1e-2)) < 1e-4
    assert module.findings["relative_change"] == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-4)


def test_fisher_samples_are_drawn_by_the_seed(tiny: Any) -> None:
    after = []
    for seed in (0, 0, 1):
        module = method(tiny, seed=seed, samples=10)
        tiny.fit(module)
        after.append(torch.cat([parameter.detach().flatten() for parameter in module.defender.parameters()]))
    assert torch.equal(after[0], after[1])
    assert not torch.allclose(after[0], after[2], rtol=1e-3)


def test_running_statistics_stay(tiny: Any) -> None:
    module = method(tiny)
    before = {name: buffer.clone() for name, buffer in module.defender.named_buffers()}
    tiny.fit(module)
    assert all(torch.equal(before[name], buffer) for name, buffer in module.defender.named_buffers())


def optimum(defender: Defender, images: Tensor, targets: Tensor) -> Tensor:
    """Exact training of a convex model."""
    parameters = list(defender.parameters())
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(defender(images)[0], targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def test_it_is_near_exact_retraining_of_a_convex_model(tiny: Any) -> None:
    """Softmax regression on labels that such a model drew, for which the Fisher matrix is the Hessian."""
    torch.manual_seed(0)
    pixels = torch.randint(256, (1500, 1, 2, 2), dtype=torch.uint8)
    inputs = tiny.transform.normalise(pixels)
    targets = torch.multinomial((inputs.flatten(1) @ torch.randn(4, 3)).softmax(1), 1).squeeze(1)
    forgotten = (targets == 0) & (torch.arange(1500) % 10 == 0)  # a tenth of a class
    whole = Images(pixels, targets, tiny.classes, tuple(map(str, range(1500))))
    retain, forget = whole[(~forgotten).nonzero().flatten()], whole[forgotten.nonzero().flatten()]
    parts = {name: getattr(tiny.split(), name) for name in ("val", "judge", "judge_nonmembers", "test_retain", "test_forget")}
    split = Split(whole, retain, forget, **parts, data_hash="", split_hash="")

    defender = Defender(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    original = optimum(defender, inputs, targets)
    retrained = optimum(copy.deepcopy(defender), tiny.transform.normalise(retain.images), retain.targets)
    forget_inputs = tiny.transform.normalise(forget.images)
    loss_before = F.cross_entropy(defender(forget_inputs)[0], forget.targets)
    tiny.fit(method(tiny, defender=defender, damping=1e-6, samples=2000), split=split)
    unlearned = torch.cat([parameter.detach().flatten() for parameter in defender.parameters()])
    assert (unlearned - retrained).norm() < 0.3 * (original - retrained).norm()
    assert F.cross_entropy(defender(forget_inputs)[0], forget.targets) > loss_before

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dau_lightning.baseline.ssd import SelectiveDampening
from dau_lightning.training.per_sample_gradient import squared_gradients
from tests.one_step import inputs, sample_gradients


def squares(network: nn.Module, images: Tensor, targets: Tensor) -> np.ndarray:
    return sample_gradients(network, images, targets).square().numpy()


def test_the_plan_says_how_large_alpha_may_be(tiny: Any) -> None:
    module = SelectiveDampening(defender=tiny.defender(), seed=0, batch_size=7, alpha=10.0, dampening=1.0)
    rule = "; weights with I_f / I_D above alpha = 10 shrink, and none can be above |D| / |D_f| = 4"
    assert module.plan(8, tiny.split()).endswith("at its end" + rule)  # 12 of 48 images


@pytest.mark.parametrize(("alpha", "dampening"), [(1.2, 1.0), (0.5, 0.6), (100.0, 1.0)])
def test_the_weights_are_those_of_the_formula(tiny: Any, alpha: float, dampening: float) -> None:
    module = SelectiveDampening(defender=tiny.defender(), seed=0, batch_size=7, alpha=alpha, dampening=dampening)
    network = tiny.defender().network.eval()
    before = np.concatenate([weight.detach().numpy().ravel() for weight in network.parameters()])
    retain, forget = (squares(network, *inputs(tiny, part)) for part in ("retain", "forget"))
    I_D, I_f = np.concatenate([retain, forget]).mean(0), forget.mean(0)
    factors = np.array(
        [min(dampening * d / f, 1) if f > alpha * d else 1 for d, f in zip(I_D, I_f, strict=True)], dtype=np.float64
    )
    tiny.fit(module)
    found = torch.cat([weight.detach().flatten() for weight in module.defender.parameters()]).numpy()
    np.testing.assert_allclose(found, before * factors, rtol=2e-4, atol=1e-6)
    assert module.findings["dampened"] == pytest.approx((factors < 1).mean(), abs=2e-3)
    assert (alpha == 100) == (factors == 1).all()


def test_the_information_is_that_of_the_samples_own_labels(tiny: Any) -> None:
    defender, (images, targets) = tiny.defender(), inputs(tiny, "forget")
    defender.mask = {"0.0.weight": torch.arange(36).view(4, 1, 3, 3) % 2 == 0}
    defender.prune()
    expected = squares(defender.network.eval(), images, targets).sum(0)
    expected[:36][1::2] = 0  # pruned weights are constants
    np.testing.assert_allclose(squared_gradients(defender.train(), images, targets), expected, rtol=1e-3, atol=1e-6)


def test_running_statistics_stay(tiny: Any) -> None:
    module = SelectiveDampening(defender=tiny.defender(), seed=0, batch_size=7, alpha=1.0, dampening=1.0)
    before = {name: buffer.clone() for name, buffer in module.defender.named_buffers()}
    tiny.fit(module)
    assert all(torch.equal(before[name], buffer) for name, buffer in module.defender.named_buffers())

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dau_lightning.baseline.l1_sparse import L1Sparse
from tests.one_step import FULL, cross_entropy, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}


@pytest.mark.parametrize(
    ("l1_epochs", "weights"), [(None, [1, 2 / 3, 1 / 3]), (1, [1, 0, 0]), (2, [1, 0.5, 0]), (6, [1, 5 / 6, 4 / 6])]
)
def test_steps_are_those_of_the_formula(tiny: Any, l1_epochs: int | None, weights: list[float]) -> None:
    settings = WHOLE | {"epochs": 3, "lr": 0.02, "batch_norm": "batch"}
    module, network = tiny.module(L1Sparse, **settings, l1_weight=0.02, l1_epochs=l1_epochs), tiny.defender().network
    images, targets = inputs(tiny, "retain")
    for weight in weights:
        gradients = torch.autograd.grad(cross_entropy(network(images), targets), list(network.parameters()))
        theta = torch.cat([parameter.detach().flatten() for parameter in network.parameters()]).numpy()
        slope = torch.cat([gradient.flatten() for gradient in gradients]).numpy() + 0.02 * weight * np.sign(theta)
        vector_to_parameters(torch.from_numpy(theta - np.float32(0.02) * slope.astype(np.float32)), network.parameters())
    tiny.fit(module)
    found = parameters_to_vector(module.defender.parameters())
    torch.testing.assert_close(found, parameters_to_vector(network.parameters()), rtol=1e-4, atol=1e-6)


def test_the_penalty_does_not_add_up_over_the_epochs(tiny: Any) -> None:
    sizes = []
    for epochs in (1, 8):
        module = tiny.module(L1Sparse, l1_weight=0.01, l1_epochs=None, epochs=epochs, momentum=0.0, lr=1e-3)
        before = parameters_to_vector(module.defender.parameters()).detach().abs().sum()
        tiny.fit(module)
        sizes.append(float(before - parameters_to_vector(module.defender.parameters()).detach().abs().sum()))
    assert 0 < sizes[1] < 8 * sizes[0]

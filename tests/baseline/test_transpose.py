from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.baseline.transpose import Transpose
from dau_lightning.network.defender import Defender
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}


def test_a_step_starts_from_the_transposed_kernels(tiny: Any) -> None:
    module, reference = tiny.module(Transpose, **WHOLE, lr=0.1, batch_norm="batch"), tiny.defender().network
    images, targets = inputs(tiny, "retain")
    weights = reference.state_dict()
    for name, tensor in weights.items():
        if tensor.dim() == 4:
            turned = [[kernel.T for kernel in row] for row in tensor.numpy()]
            weights[name] = torch.from_numpy(np.array(turned))
    reference.load_state_dict(weights)
    tiny.fit(module)
    assert_equal(
        module.defender.parameters(), descended(reference, lambda network: cross_entropy(network(images), targets), 0.1)
    )


def test_transposing_twice_changes_nothing(tiny: Any) -> None:
    module = tiny.module(Transpose)
    before = {name: tensor.clone() for name, tensor in module.defender.state_dict().items()}
    module.begin()
    assert not torch.equal(before["network.0.0.weight"], module.defender.state_dict()["network.0.0.weight"])
    module.begin()
    assert all(torch.equal(before[name], tensor) for name, tensor in module.defender.state_dict().items())


def test_kernels_that_are_not_square_are_refused(tiny: Any) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, (3, 1)), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(InputError, match="CT needs square kernels, one is 3x1: choose another baseline"):
        tiny.module(Transpose, defender=Defender(network))

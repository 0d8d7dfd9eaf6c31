from typing import Any

import numpy as np
import torch
from torch import Tensor

from dau_lightning.baseline.delete_class import Delete
from tests.one_step import assert_equal, descended, inputs

SETTINGS = {"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "batch_norm": "running", "lr": 0.1}


def test_a_step_is_that_of_the_formula(tiny: Any) -> None:
    module, network = tiny.module(Delete, **SETTINGS), tiny.defender().network.eval()
    images, targets = inputs(tiny, "forget")
    target = np.exp(network(images).detach().numpy().astype(np.float64))
    target[np.arange(12), targets] = 0
    q = torch.from_numpy(target / target.sum(1, keepdims=True)).float()

    def loss(student: Any) -> Tensor:
        p = student(images).softmax(1)
        rows = [
            torch.stack([q[i, k] * (q[i, k] / p[i, k]).log() for k in range(3) if k != targets[i]]).sum() for i in range(12)
        ]
        return torch.stack(rows).mean()

    expected = descended(network, loss, 0.1)
    tiny.fit(module)
    assert_equal(module.defender.parameters(), expected)


def test_sees_the_forget_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(Delete) == dict.fromkeys(range(36, 48), 2)  # two epochs


def test_running_statistics_stay(tiny: Any) -> None:
    module = tiny.module(Delete, **SETTINGS | {"epochs": 2})
    before = {name: buffer.clone() for name, buffer in module.defender.named_buffers()}
    tiny.fit(module)
    assert all(torch.equal(before[name], buffer) for name, buffer in module.defender.named_buffers())

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.baseline.regun import ReGUn
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs


@pytest.mark.parametrize("by_class", [False, True])
def test_a_step_is_that_of_the_formula(tiny: Any, by_class: bool) -> None:
    module, network = tiny.module(ReGUn, **FULL, lr=0.1, by_class=by_class, batch_norm="batch"), tiny.defender().network
    (retain, kept), (forget, gone), (val, seen) = (inputs(tiny, part) for part in ("retain", "forget", "val"))
    outputs = np.exp(network.eval()(val).detach().double().numpy())
    outputs /= outputs.sum(1, keepdims=True)
    rows = [outputs[seen.numpy() == label].mean(0) if by_class else outputs.mean(0) for label in gone.tolist()]
    q = torch.from_numpy(np.stack(rows)).float()
    network.train()

    def loss(student: Any) -> Tensor:
        p = student(forget).softmax(1)
        return 0.5 * (q * (q / p).log()).sum(1).mean() + 0.5 * cross_entropy(student(retain), kept)

    expected = descended(network, loss, 0.1)
    tiny.fit(module)
    assert_equal(module.defender.parameters(), expected)


def test_a_class_without_a_held_out_image_is_told(tiny: Any) -> None:
    split = tiny.split(val=2)  # classes a and b
    with pytest.raises(InputError, match=r"baseline\.by_class=true needs a validation image of every class"):
        tiny.module(ReGUn, **FULL, by_class=True).check(split)
    tiny.module(ReGUn, **FULL, by_class=False).check(split)

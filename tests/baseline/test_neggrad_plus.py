from typing import Any

import pytest

from dau_lightning.baseline.neggrad_plus import NegGradPlus
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs


@pytest.mark.parametrize("weight", [0.5, 0.95, 1.0])
def test_a_step_is_that_of_the_formula(tiny: Any, weight: float) -> None:
    module = tiny.module(NegGradPlus, **FULL, retain_weight=weight, lr=0.1, batch_norm="batch")
    (retain, kept), (forget, gone) = inputs(tiny, "retain"), inputs(tiny, "forget")

    def loss(network: Any) -> Any:
        return weight * cross_entropy(network(retain), kept) - (1 - weight) * cross_entropy(network(forget), gone)

    expected = descended(tiny.defender().network, loss, 0.1)
    tiny.fit(module)
    assert_equal(module.defender.parameters(), expected)


def test_it_cycles_the_forget_set(tiny: Any) -> None:
    seen = tiny.seen(lambda **settings: NegGradPlus(**settings, retain_weight=0.9, forget_batch_size=12))
    assert seen == dict.fromkeys(range(36), 2) | dict.fromkeys(range(36, 48), 6)  # two epochs of three steps

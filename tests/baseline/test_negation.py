from typing import Any

import pytest
import torch
from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.baseline.negation import Negation
from dau_lightning.network.defender import Defender
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}


def test_a_step_starts_from_the_negated_first_convolution(tiny: Any) -> None:
    module, reference = tiny.module(Negation, **WHOLE, lr=0.1, batch_norm="batch"), tiny.defender().network
    images, targets = inputs(tiny, "retain")
    weights = reference.state_dict()
    weights["0.0.weight"] = -weights["0.0.weight"]
    reference.load_state_dict(weights)
    tiny.fit(module)
    assert_equal(
        module.defender.parameters(), descended(reference, lambda network: cross_entropy(network(images), targets), 0.1)
    )


def test_biases_and_other_layers_keep_their_sign(tiny: Any) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    tiny.module(Negation, defender=Defender(network)).begin()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, -before[name] if name == "0.weight" else before[name])


def test_a_network_without_a_convolution_is_refused(tiny: Any) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(InputError, match="NoT changes convolutions, and Sequential has none: choose another baseline"):
        tiny.module(Negation, defender=Defender(network))

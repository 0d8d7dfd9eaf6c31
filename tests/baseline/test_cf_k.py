from typing import Any

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.baseline.cf_k import CFk
from dau_lightning.game.extra_loss.contrastive import Contrastive
from dau_lightning.game.extra_loss.fisher_noise import FisherNoise
from tests.one_step import FULL, assert_equal, cross_entropy, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}
LAYERS = {1: ["6."], 2: ["3.", "6."], 3: ["1.", "3.", "6."]}  # convolutions are 0, 1 and 3, the linear layer is 6


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_step_moves_the_last_layers_alone(tiny: Any, k: int) -> None:
    module, network = tiny.module(CFk, **WHOLE, lr=0.1, last_layers=k, batch_norm="update"), tiny.defender().network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, targets = inputs(tiny, "retain")
    for layer in network[: int(LAYERS[k][0][0])]:
        layer.eval()  # frozen: batch-norm uses its running statistics
    own = [weight for name, weight in network.named_parameters() if name.startswith(tuple(LAYERS[k]))]
    gradients = torch.autograd.grad(cross_entropy(network(images), targets), own)
    expected = [weight - 0.1 * gradient for weight, gradient in zip(own, gradients, strict=True)]
    tiny.fit(module)
    found = dict(module.defender.network.named_parameters())
    assert_equal([found[name] for name in found if name.startswith(tuple(LAYERS[k]))], expected)
    for name, tensor in module.defender.network.state_dict().items():
        last = name.startswith(tuple(LAYERS[k]))
        assert torch.equal(before[name], tensor) is not last, name


def test_more_layers_than_there_are_are_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match=r"baseline\.last_layers must be at most 4, the layers of the network; got 5"):
        tiny.module(CFk, last_layers=5)


def test_all_layers_are_ft(tiny: Any) -> None:
    module, finetune = tiny.module(CFk, last_layers=4), tiny.module()
    tiny.fit(module)
    tiny.fit(finetune)
    pairs = zip(module.defender.state_dict().values(), finetune.defender.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("term", [Contrastive(0.5, 0.2, None, None), FisherNoise(0.01, 0.1, None)])
def test_a_term_leaves_the_frozen_layers_alone_too(tiny: Any, term: Any) -> None:
    module, before = tiny.module(CFk, last_layers=2, term={"term": term}), tiny.defender().network.state_dict()
    tiny.fit(module)
    for name, tensor in module.defender.network.state_dict().items():
        assert torch.equal(before[name], tensor) is (name[0] not in "36"), name

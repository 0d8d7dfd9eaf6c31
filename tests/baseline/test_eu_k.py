from functools import partial
from typing import Any

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import key
from dau_lightning.baseline.eu_k import EUk
from dau_lightning.game.extra_loss.contrastive import Contrastive
from dau_lightning.game.extra_loss.fisher_noise import FisherNoise
from dau_lightning.network import convnet, resnet18
from dau_lightning.training.training import Configured
from tests.one_step import FULL, assert_equal, cross_entropy, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}


def test_a_step_starts_from_new_weights_of_the_last_layers(tiny: Any) -> None:
    module, network = tiny.module(EUk, **WHOLE, lr=0.1, last_layers=2, batch_norm="update"), tiny.defender().network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.random.fork_rng():
        torch.manual_seed(key(0, "unlearning", "last layers"))
        new = convnet(num_classes=3, in_channels=1, width=4)
    network.load_state_dict({name: (new.state_dict() if name[0] in "36" else before)[name] for name in before})
    images, targets = inputs(tiny, "retain")
    for layer in network[:3]:
        layer.eval()
    own = [weight for name, weight in network.named_parameters() if name[0] in "36"]
    gradients = torch.autograd.grad(cross_entropy(network(images), targets), own)
    tiny.fit(module)
    found = dict(module.defender.network.named_parameters())
    assert_equal(
        [found[name] for name in found if name[0] in "36"],
        [weight - 0.1 * gradient for weight, gradient in zip(own, gradients, strict=True)],
    )
    after = module.defender.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in after if name[0] not in "36")
    assert not torch.allclose(before["6.weight"], after["6.weight"], atol=0.01)


def test_more_layers_than_there_are_are_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match=r"baseline\.last_layers must be at most 4, the layers of the network; got 5"):
        tiny.module(EUk, last_layers=5)


@pytest.mark.parametrize("term", [Contrastive(0.5, 0.2, None, None), FisherNoise(0.01, 0.1, None)])
def test_a_term_leaves_the_frozen_layers_alone_too(tiny: Any, term: Any) -> None:
    module, before = tiny.module(EUk, last_layers=2, term={"term": term}), tiny.defender().network.state_dict()
    tiny.fit(module)
    for name, tensor in module.defender.network.state_dict().items():
        assert torch.equal(before[name], tensor) is (name[0] not in "36"), name


def test_the_last_layers_are_those_of_a_new_network_of_the_run(tiny: Any) -> None:
    training = tiny.training(network=Configured(resnet18, {}), new_network=resnet18)
    settings = {"epochs": 1, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant", "milestones": []}
    module = training.module(partial(EUk, batch_size=4, last_layers=2, **settings), tiny.split())
    before = {name: tensor.clone() for name, tensor in module.defender.network.state_dict().items()}
    module.begin()
    with torch.random.fork_rng():
        torch.manual_seed(key(0, "unlearning", "last layers"))
        new = resnet18(3, 1).state_dict()
    for name, tensor in module.defender.network.state_dict().items():
        last = name.startswith(("layer4.1.conv2", "layer4.1.bn2", "fc"))
        assert torch.equal(tensor, (new if last else before)[name]), name
    assert float(new["layer4.1.conv2.weight"].std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)  # torch's own: 0.0085

import math
from typing import Any

import torch
from torch.nn.utils import parameters_to_vector

from dau_lightning.base.randomness import reseed
from dau_lightning.baseline.random_label import RandomLabel
from dau_lightning.baseline.salun import SalUn, largest
from tests.one_step import FULL, cross_entropy, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"} | {"batch_norm": "running"}


def saliency(tiny: Any) -> torch.Tensor:
    """By ordinary autograd in evaluation mode."""
    network, (images, targets) = tiny.defender().network.eval(), inputs(tiny, "forget")
    loss = 12 * cross_entropy(network(images), targets)
    return parameters_to_vector(torch.autograd.grad(loss, list(network.parameters()))).abs()


def test_steps_with_momentum_and_decay_move_the_salient_weights_alone(tiny: Any) -> None:
    module = tiny.module(SalUn, **WHOLE | {"momentum": 0.9, "weight_decay": 0.01}, share=0.25, lr=0.1)
    batches: list[Any] = []
    module.on_train_batch_end = lambda _, batch, __: batches.append(batch)  # type: ignore[method-assign]
    tiny.fit(module)
    scores = saliency(tiny)
    salient = scores > scores.sort().values[-math.ceil(0.25 * len(scores)) - 1]
    network = tiny.defender().network.eval()
    before = parameters_to_vector(network.parameters()).detach()
    weights, velocity = before, torch.zeros_like(before)
    reseed(0, "unlearning", 0, 0)
    labels = [torch.randint(3, (12,)), batches[1]["retain"].targets]
    for batch, targets in zip(batches, labels, strict=True):
        ((images, _),) = batch.values()
        gradient = torch.autograd.grad(cross_entropy(network(images), targets), list(network.parameters()))
        velocity = (0.9 * velocity + parameters_to_vector(gradient) + 0.01 * weights) * salient
        weights = torch.where(salient, weights - 0.1 * velocity, before)
        torch.nn.utils.vector_to_parameters(weights, network.parameters())
    found = parameters_to_vector(module.defender.parameters())
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-6)
    assert torch.equal(found[~salient], before[~salient])  # to the bit, whatever the weight decay
    assert 0.24 < float(salient.float().mean()) < 0.26


def test_a_share_of_one_is_random_label(tiny: Any) -> None:
    with_mask, without = tiny.module(SalUn, share=1.0), tiny.module(RandomLabel)
    tiny.fit(with_mask)
    tiny.fit(without)
    pairs = zip(with_mask.defender.parameters(), without.defender.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_share_is_one_of_the_weights_that_are_not_pruned() -> None:
    values, kept = torch.arange(100.0), torch.arange(100) % 2 == 0
    chosen = largest(values, kept, 0.1)
    assert chosen.nonzero().flatten().tolist() == [90, 92, 94, 96, 98]

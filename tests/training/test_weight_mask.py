import pytest
import torch
from torch import nn

from dau_lightning.training.weight_mask import largest, restore, scale_gradients


def test_the_share_is_one_of_the_weights_that_are_not_pruned() -> None:
    values, kept = torch.arange(100.0), torch.arange(100) % 2 == 0
    chosen = largest(values, kept, 0.1)
    assert chosen.nonzero().flatten().tolist() == [90, 92, 94, 96, 98]


@pytest.mark.parametrize(("share", "expected"), [(0.3, [2, 4]), (0.01, [4]), (1.0, [0, 2, 3, 4])])
def test_the_smallest_are_the_largest_of_the_negated_values(share: float, expected: list[int]) -> None:
    values, kept = torch.tensor([5.0, 0.0, 2.0, 3.0, 1.0]), torch.tensor([True, False, True, True, True])
    assert largest(-values, kept, share).nonzero().flatten().tolist() == expected
    assert torch.equal(largest(-values.view(5, 1), kept.view(5, 1), share).flatten(), largest(-values, kept, share))


def test_gradients_are_scaled_weight_by_weight() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # the bias has none
    scale_gradients(layer, torch.tensor([1.0, 0.1, 0.0, 0.5, 7.0, 7.0]))
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[1.0, 0.2], [0.0, 2.0]]))
    assert layer.bias.grad is None


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weights_that_may_not_move_are_restored_with_their_momentum(momentum: float) -> None:
    layer = nn.Linear(2, 1)
    start, moves = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()]), torch.tensor([True, False, False])
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum, weight_decay=0.5)
    for _ in range(2):
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        restore(layer, moves, start, optimizer)
    after = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()])
    assert (after == start).tolist() == [False, True, True]
    if momentum:
        assert (optimizer.state[layer.weight]["momentum_buffer"] != 0).tolist() == [[True, False]]

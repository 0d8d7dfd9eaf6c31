"""Which weights a method moves, and what happens to the others; flat tensors `(P,)` have the order of `model.parameters()`."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dau_lightning.training.per_sample_gradient import shaped


def largest(values: Tensor, among: Tensor, share: float) -> Tensor:
    """Which values are in the largest `share` of some of them, bool in their shape; for the smallest, negate the values.

    Args:
        values: finite numbers in any shape.
        among: the values that count, bool in the same shape.
        share: in (0, 1]; a fraction of a value counts as one.

    >>> import torch
    >>> largest(torch.tensor([4.0, 3, 2, 1]), torch.tensor([False, True, True, True]), 0.5)
    tensor([False,  True,  True, False])
    """
    count = math.ceil(share * int(among.sum()))
    chosen = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    chosen[values.masked_fill(~among, -torch.inf).flatten().topk(count).indices] = True
    return chosen.view_as(values)


def with_parts(model: nn.Module, *flats: Tensor) -> Iterator[tuple[nn.Parameter, *tuple[Tensor, ...]]]:
    """Each parameter of a model, and the parts of flat tensors that belong to it, in its shape."""
    yield from zip(model.parameters(), *(shaped(model, flat) for flat in flats), strict=True)


def scale_gradients(model: nn.Module, factors: Tensor) -> None:
    """Multiply the gradient of each weight by its factor, a number or a bool."""
    for weight, factor in with_parts(model, factors):
        if weight.grad is not None:
            weight.grad.mul_(factor)


@torch.no_grad()
def restore(model: nn.Module, moves: Tensor, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Set the weights that may not move to what they were, and their momentum to zero.

    Args:
        model: the model after a step.
        moves: the weights that may move, bool `(P,)`.
        start: the weights before the first step, `(P,)`.
        optimizer: SGD; weight decay moves weights without a gradient, too.
    """
    for weight, free, before in with_parts(model, moves, start):
        weight.copy_(torch.where(free, weight, before))
        if (velocity := optimizer.state[weight].get("momentum_buffer")) is not None:  # None without momentum
            velocity.mul_(free)

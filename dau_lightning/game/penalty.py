"""Penalties on the attacker's slope, which keep the game smooth (sections 3.3 and 5): `weight * E[(|slope| - 1)^2]`.

A penalty is a callable of a judge (rows to logits `(B,)` or `(B, A)`, each sample by itself), of forget and of val rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dau_lightning.game.attacker_input import AttackerInputs

Judge = Callable[[AttackerInputs], Tensor]
Penalty = Callable[[Judge, AttackerInputs, AttackerInputs], Tensor]


def none(judge: Judge, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
    """Zero."""
    return forget.prediction.new_zeros(())


def interpolated(judge: Judge, forget: AttackerInputs, val: AttackerInputs, weight: float) -> Tensor:
    """WGAN-GP (Gulrajani et al. 2017): slope 1 at random points between a forget and a val row; labels are the forget rows'.

    Args:
        judge: the attacker.
        forget: rows, `B` of them.
        val: rows, paired with the former by position; what one part has more is left out.
        weight: lambda.

    Returns:
        A scalar that the attacker's parameters can descend on.
    """
    count = min(len(forget.targets), len(val.targets))
    share = torch.rand(count, 1, device=forget.prediction.device)
    prediction = val.prediction[:count].lerp(forget.prediction[:count], share)
    sensitivity = val.sensitivity[:count].lerp(forget.sensitivity[:count], share)
    return weight * (slope(judge, AttackerInputs(prediction, sensitivity, forget.targets[:count])) - 1).square().mean()


def dragan(judge: Judge, forget: AttackerInputs, val: AttackerInputs, weight: float, noise: float) -> Tensor:
    """DRAGAN (Kodali et al. 2017): slope 1 around the val rows, the distribution that the defender has to reach.

    Args:
        judge: the attacker.
        forget: not looked at.
        val: rows, `B` of them.
        weight: lambda.
        noise: uniform in [0, `noise`) standard deviations, of each input by itself since inputs differ in kind.

    Returns:
        A scalar that the attacker's parameters can descend on.
    """
    prediction, sensitivity = (
        column + noise * column.std(0, correction=0) * torch.rand_like(column) for column in (val.prediction, val.sensitivity)
    )
    return weight * (slope(judge, AttackerInputs(prediction, sensitivity, val.targets)) - 1).square().mean()


def slope(judge: Judge, rows: AttackerInputs) -> Tensor:
    """Length of each logit's gradient with respect to prediction and sensitivity, `(B, A)`; it has a gradient itself.

    An input that is the same in all rows, such as a sensitivity that is not measured, has no direction to move in and does
    not count. Attention runs on its plain kernel, the only one with a second derivative.
    """
    inputs = [column.detach().requires_grad_() for column in (rows.prediction, rows.sensitivity)]
    with sdpa_kernel(SDPBackend.MATH):
        logits = judge(AttackerInputs(inputs[0], inputs[1], rows.targets)).reshape(len(rows.targets), -1)
    moves = torch.cat([column.amax(0) > column.amin(0) for column in inputs])
    lengths = []
    for logit in logits.unbind(1):  # each attacker has a slope of its own
        gradients = torch.autograd.grad(logit.sum(), inputs, create_graph=True, materialize_grads=True)
        squares = (torch.cat(gradients, 1) * moves).square().sum(1)
        lengths.append((squares + 1e-12).sqrt())  # the root has no derivative at 0
    return torch.stack(lengths, 1)

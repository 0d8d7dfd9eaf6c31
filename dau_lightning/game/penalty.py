"""Penalties on the attacker's slope, which keep the game smooth (sections 3.3 and 5): `weight * E[(|slope| - 1)^2]`.

A penalty takes the attacker, a function that maps inputs to membership logits sample by sample, and the inputs for forget
and for val samples. It returns a scalar, through which gradients flow to the attacker's parameters.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dau_lightning.game.attacker_input import AttackerInputs

Membership = Callable[[AttackerInputs], Tensor]
Penalty = Callable[[Membership, AttackerInputs, AttackerInputs], Tensor]


def none(membership: Membership, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
    """No penalty: zero."""
    return forget.prediction.new_zeros(())


def interpolated(membership: Membership, forget: AttackerInputs, val: AttackerInputs, weight: float) -> Tensor:
    """WGAN-GP (Gulrajani et al. 2017): slope 1 at random points between a forget and a val sample, with the former's target.

    Args:
        membership: the attacker's logits, `(B,)` or `(B, A)`.
        forget: inputs for forget samples.
        val: inputs for val samples, paired with forget by position; the longer of the two is cut to the length of the other.
        weight: lambda.
    """
    count = min(len(forget.targets), len(val.targets))
    share = torch.rand(count, 1, device=forget.prediction.device)
    prediction = val.prediction[:count].lerp(forget.prediction[:count], share)
    sensitivity = val.sensitivity[:count].lerp(forget.sensitivity[:count], share)
    return weight * (slope(membership, AttackerInputs(prediction, sensitivity, forget.targets[:count])) - 1).square().mean()


def dragan(membership: Membership, forget: AttackerInputs, val: AttackerInputs, weight: float, noise: float) -> Tensor:
    """DRAGAN (Kodali et al. 2017): slope 1 around the val samples, whose distribution the defender has to reach.

    Args:
        membership: the attacker's logits, `(B,)` or `(B, A)`.
        forget: not used.
        val: inputs for val samples.
        weight: lambda.
        noise: upper end of the uniform noise, in standard deviations of each input, since inputs differ in scale.
    """
    prediction, sensitivity = (
        column + noise * column.std(0, correction=0) * torch.rand_like(column) for column in (val.prediction, val.sensitivity)
    )
    return weight * (slope(membership, AttackerInputs(prediction, sensitivity, val.targets)) - 1).square().mean()


def slope(membership: Membership, inputs: AttackerInputs) -> Tensor:
    """Norm of each logit's gradient with respect to prediction and sensitivity, `(B, A)`; it can be differentiated again.

    Inputs that are the same in all samples, such as a sensitivity with `copies=0`, are left out of the norm. Attention runs
    on its plain kernel, the only one with a second derivative.
    """
    columns = [column.detach().requires_grad_() for column in (inputs.prediction, inputs.sensitivity)]
    with sdpa_kernel(SDPBackend.MATH):
        logits = membership(AttackerInputs(columns[0], columns[1], inputs.targets)).reshape(len(inputs.targets), -1)
    moves = torch.cat([column.amax(0) > column.amin(0) for column in columns])
    lengths = []
    for logit in logits.unbind(1):  # one slope for each attacker
        gradients = torch.autograd.grad(logit.sum(), columns, create_graph=True, materialize_grads=True)
        squares = (torch.cat(gradients, 1) * moves).square().sum(1)
        lengths.append((squares + 1e-12).sqrt())  # the root has no derivative at 0
    return torch.stack(lengths, 1)

"""The equations of the paper as pure functions of tensors, one function for each equation."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attacker_loss(forget_logits: Tensor, val_logits: Tensor) -> Tensor:
    """`-L_A` of Eq. 1, which the attacker minimises: `-E_f[log A] - E_v[log(1 - A)]`, `A` the probability of "member".

    Args:
        forget_logits: the attacker's membership logits of forget samples, `(B,)`, or `(B, A)` for A attackers.
        val_logits: the membership logits of validation samples, `(B',)` or `(B', A)`.

    Returns:
        A scalar in nats; `2 log 2` where the attacker's output is 0.5 everywhere.

    >>> import torch
    >>> attacker_loss(torch.zeros(4), torch.zeros(2))
    tensor(1.3863)
    """
    return -F.logsigmoid(forget_logits).mean() - F.logsigmoid(-val_logits).mean()


def defender_adversarial_loss(forget_logits: Tensor, val_logits: Tensor, saturating: bool) -> Tensor:
    """The game's part of the defender's loss, before its weight alpha.

    The saturating form is `L_A`, as Eq. 1 prints it. In the non-saturating form of section 3.3, forget and validation
    samples exchange their roles: `-E_f[log(1 - A)] - E_v[log A]`.

    Args:
        forget_logits: the attacker's membership logits of forget samples, `(B,)`.
        val_logits: the membership logits of validation samples, `(B',)`.
        saturating: whether to take the saturating form.

    Returns:
        A scalar in nats.
    """
    if saturating:
        return -attacker_loss(forget_logits, val_logits)
    return attacker_loss(-forget_logits, -val_logits)


def redundancy_loss(forget_features: Tensor, val_features: Tensor, off_diagonal_weight: float) -> Tensor:
    """`V_ss` of Eq. 2: pulls the cross-correlation of two feature batches towards the identity (Barlow Twins).

    Features are centred over the batch, and correlations are computed in float32. A feature without variance in a batch
    has correlation 0 with every feature.

    Args:
        forget_features: features of forget samples, `(B, D)`.
        val_features: features of validation samples, `(B, D)`, paired with `forget_features` by position.
        off_diagonal_weight: lambda, the weight of the squared off-diagonal correlations.

    Returns:
        `sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2`, a scalar.

    Raises:
        ValueError: the batches differ in shape.
    """
    if forget_features.shape != val_features.shape:
        raise ValueError(
            f"feature batches must have one shape, got {tuple(forget_features.shape)}, {tuple(val_features.shape)}"
        )
    forget, val = (_standardise(features.float()) for features in (forget_features, val_features))
    with torch.autocast(forget.device.type, enabled=False):
        squares = (forget.T @ val).square()
    diagonal = (1 - (forget * val).sum(0)).square().sum()
    return diagonal + off_diagonal_weight * (squares.sum() - squares.diagonal().sum())


def _standardise(features: Tensor) -> Tensor:
    """Centre each column and scale it to length one; a constant column becomes zero."""
    centred = features - features.mean(0)
    centred = centred - centred.mean(0)  # again: scaling would enlarge the rounding error of a constant column
    return F.normalize(centred, dim=0, eps=1e-6)

"""Objectives of the game (sections 3.3 and 5): what attacker and defender minimise, from membership logits.

Both functions take the logits of forget and of validation samples, `(B,)`, or `(B, A)` for A attackers, and average over all.
"""

from typing import Protocol

from torch import Tensor

from dau_lightning.losses import attacker_loss, defender_adversarial_loss


class Objective(Protocol):
    """The losses that attacker and defender minimise."""

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """Compute the attacker's loss, before its penalty."""
        ...

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """Compute the defender's loss, before its weight alpha."""
        ...


class MinMax:
    """The binary game of Eq. 1, whose equations are in `losses.py`.

    Args:
        saturating: True for the defender's loss as Eq. 1 prints it; False for the non-saturating form of section 3.3.
    """

    def __init__(self, saturating: bool) -> None:
        self.saturating = saturating

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """See `losses.attacker_loss`."""
        return attacker_loss(forget_logits, val_logits)

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """See `losses.defender_adversarial_loss`."""
        return defender_adversarial_loss(forget_logits, val_logits, self.saturating)


class Wasserstein:
    """The attacker as a critic (Arjovsky et al. 2017), which raises `E_f[A] - E_v[A]` while the defender lowers it.

    The distance is bounded only with a penalty on the critic's slope. A constant added to the critic changes nothing, so its
    zero has no meaning: `mean_output_*` and the balanced accuracies, for which a positive logit means "member", say less
    than in the binary game.
    """

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """`E_v[A] - E_f[A]`, the negative distance."""
        return val_logits.mean() - forget_logits.mean()

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """`E_f[A] - E_v[A]`, the distance."""
        return forget_logits.mean() - val_logits.mean()

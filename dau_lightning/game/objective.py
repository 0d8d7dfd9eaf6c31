"""The game's objectives (sections 3.3 and 5): what the attacker and what the defender minimise of the attacker's logits.

Logits are those of forget and of validation samples, `(B,)`, or `(B, A)` of A attackers; means go over all of them.
Another game is another object of these calls.
"""

from typing import Any, Protocol

from torch import Tensor

from dau_lightning.losses import attacker_loss, defender_adversarial_loss


class Objective(Protocol):
    """What the two players minimise."""

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The attacker's loss, before its penalty."""
        ...

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The defender's, before its weight alpha."""
        ...


class Term(Protocol):
    """One more thing that the defender does, beside the game."""

    def before_game(self, module: Any) -> None:
        """Change the module once, before the attacker is pre-trained."""
        ...

    def loss(self, forget_logits: Tensor, forget_targets: Tensor) -> Tensor:
        """A scalar that the defender adds to its loss, of its own logits `(B, K)` of forget images and their labels `(B,)`."""
        ...


class MinMax:
    """The binary game of Eq. 1.

    Args:
        saturating: the defender's loss as printed in Eq. 1; False for the non-saturating form of section 3.3.
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
    """The attacker as a critic (Arjovsky et al. 2017): `E_f[A] - E_v[A]`, which it raises and the defender lowers.

    Bounded only where a penalty bounds the critic's slope. A critic's zero means nothing by itself, so `mean_output_*` and
    balanced accuracies, which call a positive logit "member", say less than in the binary game.
    """

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The distance, negative."""
        return val_logits.mean() - forget_logits.mean()

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The distance."""
        return forget_logits.mean() - val_logits.mean()

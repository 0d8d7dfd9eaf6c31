"""A fresh attacker: trained against the finished model, and scored on samples that it was not trained on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.trained_attack import PARTS, Half, trained_attack
from dau_lightning.base.randomness import reseed
from dau_lightning.data.order import Order


class FreshAttacker(AuditTest):
    """AUC, in percent, of an attacker network that tells forgotten from unseen images; 50: not at all.

    It guards against a defender that fools only the attacker that it was trained with.

    Args:
        attacker: makes a network for a number of classes, see `game.attacker`; its sensitivity is zero.
        epochs: passes over the first half.
        batch_size: forgotten images in a step, and as many unseen ones.
        lr: learning rate of Adam.
        settings: see `AuditTest`.
    """

    ideal = 50.0
    against_unseen = True

    def __init__(
        self, *, attacker: Callable[[int], nn.Module], epochs: int, batch_size: int, lr: float, **settings: object
    ) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.attacker, self.epochs, self.batch_size, self.lr = attacker, epochs, batch_size, lr

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure` and `trained_attack`."""
        targets = {part: case.part(part).targets for part in PARTS}
        seen = {part: case.outputs(kind, part).logits.softmax(1) for part in PARTS}

        def attack(fitted: Half, scored: Half) -> tuple[Tensor, Tensor]:
            with torch.random.fork_rng(devices=[]):
                reseed(case.seed, "audit", "fresh attacker")
                attacker = self.attacker(len(case.split.train.class_names))
                self._train(
                    attacker, *(_Samples(seen[name][at], targets[name][at]) for name, at in zip(PARTS, fitted, strict=True))
                )
            attacker.eval()
            forget, unseen = (
                _judged(attacker, seen[name][at], targets[name][at]) for name, at in zip(PARTS, scored, strict=True)
            )
            return forget, unseen

        return trained_attack(case, "fresh attacker", attack)

    def _train(self, attacker: nn.Module, forget: "_Samples", unseen: "_Samples") -> None:
        """Minimise the binary cross-entropy; each batch holds both kinds, or batch-norm would hide their difference."""
        optimizer, size = torch.optim.Adam(attacker.parameters(), self.lr), min(self.batch_size, len(forget.targets))
        orders = [Order(len(forget.targets), size, 0, name) for name in PARTS]  # as many unseen as forgotten ones
        member = torch.cat([torch.ones(size), torch.zeros(size)])
        for step in range(self.epochs * -(-len(forget.targets) // size)):
            pairs = list(zip((forget, unseen), (order.batch(step) for order in orders), strict=True))
            probabilities, targets = (torch.cat([part[i][at] for part, at in pairs]) for i in (0, 1))
            loss = F.binary_cross_entropy_with_logits(attacker(probabilities, torch.zeros_like(probabilities), targets), member)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class _Samples(NamedTuple):
    """Probabilities float32 `(N, K)` and targets int64 `(N,)`."""

    probabilities: Tensor
    targets: Tensor


@torch.no_grad()
def _judged(attacker: nn.Module, probabilities: Tensor, targets: Tensor) -> Tensor:
    """Membership logits `(N,)`."""
    return attacker(probabilities, torch.zeros_like(probabilities), targets)

"""A fresh attacker: trained against the finished model, and scored on samples that it was not trained on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.audit.base import Attack
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.shadows import cross_fitted, members, shadow_outputs
from dau_lightning.audit.trained_attack import PARTS, Half, trained_attack
from dau_lightning.base.randomness import reseed
from dau_lightning.data.order import Order


class FreshAttacker(Attack):
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
        self, *, attacker: Callable[[int], nn.Module], epochs: int, batch_size: int, lr: float, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.attacker, self.epochs, self.batch_size, self.lr = attacker, epochs, batch_size, lr

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure` and `trained_attack`."""
        samples = {part: _Samples(case.outputs(kind, part).logits.softmax(1), case.part(part).targets) for part in PARTS}

        def attack(fitted: Half, scored: Half) -> tuple[Tensor, Tensor]:
            attacker = self._trained(case, *(samples[name].at(where) for name, where in zip(PARTS, fitted, strict=True)))
            forget, unseen = (_judged(attacker, samples[name].at(where)) for name, where in zip(PARTS, scored, strict=True))
            return forget, unseen

        return trained_attack(case, "fresh attacker", attack)

    def shadow_scores(self, case: Case, kind: str) -> np.ndarray:
        """See `Attack.shadow_scores`."""
        inside, outputs = torch.from_numpy(members(case)), shadow_outputs(case, kind).forget.softmax(2)
        targets = case.part("forget").targets.expand(len(inside), -1)

        def attack(fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
            sides = (inside[fitted], ~inside[fitted])
            attacker = self._trained(case, *(_Samples(outputs[fitted][side], targets[fitted][side]) for side in sides))
            judged = _judged(attacker, _Samples(outputs[scored].flatten(0, 1), targets[scored].flatten()))
            return judged.double().numpy().reshape(len(scored), -1)

        return cross_fitted(len(inside), attack)

    def _trained(self, case: Case, forget: "_Samples", unseen: "_Samples") -> nn.Module:
        """Minimise the binary cross-entropy; each batch holds both kinds, or batch-norm would hide their difference.

        The number of steps is that of an attack on half of the forget set.
        """
        size = min(self.batch_size, len(forget.targets))
        steps = self.epochs * -(-(len(case.part("forget")) // 2) // size)
        orders = [Order(len(forget.targets), size, 0, name) for name in PARTS]  # as many unseen as forgotten ones
        member = torch.cat([torch.ones(size), torch.zeros(size)])
        with torch.random.fork_rng(devices=[]):
            reseed(case.seed, "audit", "fresh attacker")
            attacker = self.attacker(len(case.split.train.class_names))
            optimizer = torch.optim.Adam(attacker.parameters(), self.lr)
            for step in range(steps):
                both = [part.at(order.batch(step)) for part, order in zip((forget, unseen), orders, strict=True)]
                probabilities, targets = map(torch.cat, zip(*both, strict=True))
                logits = attacker(probabilities, torch.zeros_like(probabilities), targets)
                loss = F.binary_cross_entropy_with_logits(logits, member)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return attacker.eval()


class _Samples(NamedTuple):
    """Probabilities float32 `(N, K)` and targets int64 `(N,)`."""

    probabilities: Tensor
    targets: Tensor

    def at(self, where: Tensor) -> "_Samples":
        """Some of the samples, by their indices."""
        return _Samples(self.probabilities[where], self.targets[where])


@torch.no_grad()
def _judged(attacker: nn.Module, samples: _Samples) -> Tensor:
    """Membership logits `(N,)`."""
    return attacker(samples.probabilities, torch.zeros_like(samples.probabilities), samples.targets)

"""Relearning: how many steps on the forget set bring back what was forgotten, in comparison with Retrain?"""

import copy
from typing import Any

import torch
import torch.nn.functional as F

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, mean_figure, require_enough
from dau_lightning.base.error import require
from dau_lightning.base.randomness import reseed
from dau_lightning.data.order import Order
from dau_lightning.training.mode import float32


class Relearning(AuditTest):
    """Steps of SGD on `D_f` until the accuracy on it has risen to the middle between Retrain's and the original's.

    The figure is the mean over several orders of the batches. A model that only hides what it knows needs fewer steps than
    Retrain. A model that is never there has the figure `most_steps`.

    Args:
        most_steps: the last step.
        batch_size: images in a step, not augmented.
        lr: the learning rate; momentum and weight decay are the recipe's.
        orders: number of orders, at least 2.
        settings: see `AuditTest`.
    """

    better = "high"
    resolution = 1.0

    def __init__(self, *, most_steps: int, batch_size: int, lr: float, orders: int, **settings: Any) -> None:
        super().__init__(**settings)
        require(orders >= 2, f"relearning.orders must be at least 2, or there is no spread; got {orders}")
        self.most_steps, self.batch_size, self.lr, self.orders = most_steps, batch_size, lr, orders

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The independent samples are the orders."""
        require_enough(len(case.part("forget")), "forgotten images to learn again")
        right = [case.right(each, "forget") for each in ("retrain", "original")]
        middle = float(torch.stack(right).mean())
        counts = [self._steps(case, kind, middle, order) for order in range(self.orders)]
        return mean_figure(counts, {"target_accuracy": 100 * middle})

    def _steps(self, case: Case, kind: str, target: float, seed: int) -> int:
        """The number of steps until the accuracy is `target`, in [0, 1]."""
        forget, recipe, device = case.part("forget"), case.training.recipe, case.training.device
        images, targets = case.training.transform.normalise(forget.images).to(device), forget.targets.to(device)
        model = copy.deepcopy(case.model(kind)).to(device)
        optimizer = torch.optim.SGD(model.parameters(), self.lr, recipe["momentum"], weight_decay=recipe["weight_decay"])
        order = Order(len(forget), min(self.batch_size, len(forget)), seed, "relearning")
        with torch.random.fork_rng([device] if device.type == "cuda" else []), float32(device):
            for step in range(self.most_steps):
                if case.accuracy(model, forget) >= target:
                    return step
                reseed(case.seed, "relearning", seed, step)
                at = order.batch(step).to(device)
                loss = F.cross_entropy(model.to(device).train()(images[at])[0], targets[at])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                model.prune()
        return self.most_steps

"""The logistic attacker: a regression on four statistics of a prediction, solved anew in every step."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.player import FormulaPlayer
from dau_lightning.metric.mia import confidence, entropy, max_confidence

NEWTON_STEPS = 8  # enough for scikit-learn's weights to five digits (a test)


class LogisticAttacker(FormulaPlayer):
    """Tells forget samples from val samples by `phi`, confidence, largest probability and entropy.

    The samples of the last steps make a pool. On it, Newton's method (iteratively reweighted least squares; Hastie et al.
    2009, section 4.4.1) finds the weights of the regression, so that there is no learning rate and no pre-training. The
    defender then lowers `-log(1 - A)` on forget samples, the forget part of the non-saturating form of section 3.3.

    Args:
        num_classes: not used, since there are four inputs for any number of classes.
        forget_batch_size: forget samples in a full step, by which the defender's sum is divided.
        val_batch_size: val samples in a step.
        stored_batches: batches of either part, this step's and those before it, that make the pool.
        ridge: penalty on the squared weights, beside the mean log-loss in nats.
    """

    pool: Tensor  # statistics (2, stored_batches, batch, 4) of forget and val samples; not-a-number where there is none yet
    mean: Tensor
    scale: Tensor
    weights: Tensor  # of the four standardised statistics, and the constant

    def __init__(
        self, num_classes: int, forget_batch_size: int, val_batch_size: int, stored_batches: int, ridge: float
    ) -> None:
        super().__init__()
        self.forget_batch_size, self.ridge = forget_batch_size, ridge
        size = max(forget_batch_size, val_batch_size)
        self.register_buffer("pool", torch.full((2, stored_batches, size, 4), torch.nan))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("scale", torch.ones(4))
        self.register_buffer("weights", torch.zeros(5))

    @torch.no_grad()
    def step(self, forget: AttackerInputs, val: AttackerInputs, descend: Callable[[Tensor], None]) -> Tensor:
        """Store the samples, and fit the regression on the pool; its loss, the mean over forget and val in nats.

        Args:
            forget: the inputs for forget samples.
            val: those for val samples.
            descend: not used.
        """
        newest = self.pool.new_full(self.pool[:, :1].shape, torch.nan)
        for part, inputs in enumerate((forget, val)):
            newest[part, 0, : len(inputs.targets)] = statistics(inputs)
        self.pool = torch.cat([self.pool[:, 1:], newest], 1)
        parts = [samples[~samples.isnan().any(1)] for samples in self.pool.flatten(1, 2)]
        both = torch.cat(parts)
        self.mean, self.scale = both.mean(0), both.std(0).clamp_min(1e-6)
        member = torch.cat([torch.full((len(part),), float(part is parts[0]), device=both.device) for part in parts])
        share = torch.cat([torch.full((len(part),), 0.5 / len(part), device=both.device) for part in parts])
        self.weights = logistic_regression(self._inputs(both), member, share, self.ridge)
        return F.binary_cross_entropy_with_logits(self._inputs(both) @ self.weights, member, share, reduction="sum")

    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the defender minimises: `-log(1 - A)` on forget samples, in nats."""
        return F.softplus(self._inputs(statistics(forget)) @ self.weights).sum() / self.forget_batch_size

    def _inputs(self, values: Tensor) -> Tensor:
        return F.pad((values - self.mean) / self.scale, (0, 1), value=1.0)


def statistics(inputs: AttackerInputs) -> Tensor:
    """`phi`, confidence, largest probability and entropy of each sample, float32 `(N, 4)`."""
    inside = inputs.prediction.clamp(1e-6, 1 - 1e-6)  # the derivative of a logarithm is unbounded near 0
    others = (statistic(inside, inputs.targets) for statistic in (confidence, max_confidence, entropy))
    return torch.stack([inputs.margin(), *others], 1)


def logistic_regression(inputs: Tensor, targets: Tensor, share: Tensor, ridge: float) -> Tensor:
    """The weights `(D,)` that minimise the weighted log-loss plus `ridge` times their squares, by Newton's method.

    Args:
        inputs: `(N, D)`.
        targets: 0 or 1, float `(N,)`.
        share: weight of each sample, float `(N,)`.
        ridge: of the squared weights.
    """
    weights, damping = inputs.new_zeros(inputs.shape[1]), 2 * ridge * torch.eye(inputs.shape[1]).to(inputs)
    for _ in range(NEWTON_STEPS):
        output = (inputs @ weights).sigmoid()
        slope = inputs.T @ (share * (output - targets)) + damping @ weights
        curvature = inputs.T @ (inputs * (share * output * (1 - output)).unsqueeze(1)) + damping
        weights = weights - torch.linalg.solve(curvature, slope)
    return weights

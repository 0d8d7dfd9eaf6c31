"""AUC of forget against unseen samples of the same classes, by the confidence: 50 if the two cannot be told apart."""

from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


def confidence_margin(logits: Tensor, targets: Tensor) -> Tensor:
    """`phi = log p_y - log(1 - p_y)`, float64 `(N,)`, from logits `(N, K)`; float32 probabilities would often be exactly 1.

    >>> confidence_margin(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor([2.], dtype=torch.float64)
    """
    logits = logits.double()
    label = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, targets.unsqueeze(1), -torch.inf).logsumexp(1)
    return label - others


def auc(forget: Tensor, forget_targets: Tensor, unseen: Tensor, unseen_targets: Tensor) -> tuple[float, float] | None:
    """The area under the ROC curve of forget against unseen samples, and its standard error, in percent.

    Unseen samples are weighted to the class shares of the forget set, so that differences between classes do not count.
    Forget samples of a class without unseen samples are left out.

    Args:
        forget: a statistic that is high for members, `(N,)`.
        forget_targets: int64 `(N,)`.
        unseen: the same statistic of samples that were never trained on, `(M,)`.
        unseen_targets: int64 `(M,)`.

    Returns:
        An area above 50 means that the forget set is still remembered, one below 50 that the model was changed so far that
        the forgetting itself shows. The standard error follows Hanley & McNeil (1982), with the effective number of the
        weighted samples. None if no class has both kinds of samples.
    """
    if (weights := unseen_weights(forget_targets, unseen_targets)) is None:
        return None
    kept = torch.isin(forget_targets, unseen_targets)
    members = np.concatenate([np.ones(int(kept.sum()), int), np.zeros(len(unseen), int)])
    scores, each = torch.cat([forget[kept], unseen]).numpy(), torch.cat([torch.ones(int(kept.sum())), weights]).numpy()
    area = float(roc_auc_score(members, scores, sample_weight=each))
    effective = float(weights.sum() ** 2 / weights.square().sum())
    return 100 * area, 100 * standard_error(area, int(kept.sum()), effective)


def unseen_weights(forget_targets: Tensor, unseen_targets: Tensor) -> Tensor | None:
    """Weights with which unseen samples have the class shares of the forget set, float64 `(M,)`.

    None if no class has both kinds of samples.
    """
    classes = 1 + int(torch.cat([forget_targets, unseen_targets]).max())
    known = unseen_targets.bincount(minlength=classes)
    kept = known[forget_targets] > 0
    if not bool(kept.any()):
        return None
    shares = forget_targets[kept].bincount(minlength=classes).double() / known.clamp_min(1)
    return shares[unseen_targets]


def standard_error(area: float, positives: float, negatives: float) -> float:
    """The standard error of an AUC in [0, 1] (Hanley & McNeil 1982, equation 1).

    >>> round(standard_error(0.5, 900, 10_000), 3)
    0.01
    """
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    return (max(variance, 0.0) / (positives * negatives)) ** 0.5


class AUC(Metric):
    """`auc` as a metric: the statistic is the `confidence_margin` of the predictions given to `update`."""

    full_state_update = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sync_on_compute=False, **kwargs)  # one process sees every sample
        for role in ("forget", "unseen"):
            self.add_state(role, default=[], dist_reduce_fx="cat")
            self.add_state(f"{role}_targets", default=[], dist_reduce_fx="cat")

    def update(self, role: str, logits: Tensor, targets: Tensor) -> None:
        """Add the predictions for some samples.

        Args:
            role: `forget` or `unseen`.
            logits: float `(B, K)`.
            targets: int64 `(B,)`.
        """
        getattr(self, role).append(confidence_margin(logits, targets).cpu())
        getattr(self, f"{role}_targets").append(targets.cpu())

    def compute(self) -> tuple[float, float] | None:
        """Area and standard error over all samples added, in percent; None if one of the two roles has no sample."""
        states = ("forget", "forget_targets", "unseen", "unseen_targets")
        if not self.forget or not self.unseen:
            return None
        return auc(*(dim_zero_cat(getattr(self, state)) for state in states))

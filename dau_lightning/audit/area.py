"""The AUC of an attack with the influence of every sample on it, from which the error of a difference of two AUCs follows."""

import numpy as np
from torch import Tensor

from dau_lightning.metric.auc import unseen_weights


def area(
    forget: np.ndarray, forget_targets: Tensor, unseen: np.ndarray, unseen_targets: Tensor
) -> tuple[float, np.ndarray] | None:
    """The AUC of `metric.auc`, in percent, and the influences of the forget and then of the unseen samples.

    The influences follow DeLong et al. (1988): the deviation of a sample's placement, the share of samples of the other kind
    that it beats, over the number of samples. A forget sample also moves the weight of the unseen samples of its class.

    Args:
        forget: scores that are high for members, float64 `(N,)`.
        forget_targets: int64 `(N,)`.
        unseen: scores of samples that were never trained on, float64 `(M,)`.
        unseen_targets: int64 `(M,)`.

    Returns:
        The AUC and influences `(N + M,)`; None if no class has both kinds of samples.
    """
    if (weighted := unseen_weights(forget_targets, unseen_targets)) is None:
        return None
    kept = np.isin(forget_targets.numpy(), unseen_targets.numpy())
    members, weights = kept / kept.sum(), (weighted / weighted.sum()).numpy()
    beaten, losing = _placements(forget, unseen, weights), 1 - _placements(unseen, forget, members)
    value, labels = float(members @ beaten), unseen_targets.numpy()
    sums = np.bincount(labels, losing, minlength=1 + int(forget_targets.max()))
    of_class = sums / np.maximum(np.bincount(labels, minlength=len(sums)), 1)
    own = members * (beaten + of_class[forget_targets.numpy()] - 2 * value)
    return 100 * value, 100 * np.concatenate([own, weights * (losing - of_class[labels])])


def _placements(scores: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each score the weight of the others that it beats; a tie counts half."""
    order = np.argsort(others, kind="stable")
    summed = np.concatenate([[0.0], np.cumsum(weights[order])])
    below, up_to = (summed[np.searchsorted(others[order], scores, side=side)] for side in ("left", "right"))
    return (below + up_to) / 2

"""Membership inference attacks: each fits an SVM on one statistic of predictions (Jia et al. 2023; Song & Mittal 2021)."""

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from torch import Tensor

SMALLEST = 1e-30  # probabilities are clipped to it before a logarithm
KERNEL_SIZE = 2**18  # most elements of a kernel matrix: 2 MB, which a processor's cache holds


def correctness(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 where the most probable class of `(N, K)` is the label `(N,)`, else 0; float `(N,)` (Yeom et al. 2018)."""
    return (probabilities.argmax(1) == targets).to(probabilities.dtype)


def confidence(probabilities: Tensor, targets: Tensor) -> Tensor:
    """`p_y`, the probability of the label; from `(N, K)` and `(N,)` to `(N,)`. The statistic of MIA-efficacy."""
    return probabilities.gather(1, targets.unsqueeze(1)).squeeze(1)


def max_confidence(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The largest probability; from `(N, K)` to `(N,)` (Salem et al. 2018)."""
    return probabilities.amax(1)


def entropy(probabilities: Tensor, targets: Tensor | None = None) -> Tensor:
    """`-sum_i p_i log p_i` in nats, low for members; from `(N, K)` to `(N,)` (Salem et al. 2018).

    >>> import torch
    >>> entropy(torch.tensor([[0.7, 0.2, 0.1]]))
    tensor([0.8018])
    """
    return -(probabilities * _log(probabilities)).sum(1)


def modified_entropy(probabilities: Tensor, targets: Tensor) -> Tensor:
    """`-(1 - p_y) log p_y - sum_{i != y} p_i log(1 - p_i)` in nats, low for members (Song & Mittal 2021).

    Args:
        probabilities: float `(N, K)`.
        targets: labels, int64 `(N,)`.

    Returns:
        Float `(N,)`.

    >>> import torch
    >>> modified_entropy(torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([0]))
    tensor([0.1622])
    """
    label = confidence(probabilities, targets)
    others = probabilities.scatter(1, targets.unsqueeze(1), 0)  # 0 log 1 = 0
    return -(1 - label) * _log(label) - (others * _log(1 - others)).sum(1)


def probability(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The prediction itself, `(N, K)`: all probabilities are the statistic."""
    return probabilities


def fitted(members: np.ndarray, nonmembers: np.ndarray, resolution: float | None = None) -> SVC:
    """Fit the SVM of the published attacks, which predicts 1 for a member and 0 for a nonmember.

    Equal scores with the same label become one point whose weight is their count. The optimum is the same, and the fit
    takes a fraction of the time.

    Args:
        members: scores, `(N, d)`.
        nonmembers: scores, `(N, d)`.
        resolution: round the scores to multiples of `resolution / d` before the fit; None for no rounding.
    """
    labels = np.concatenate([np.ones(len(members)), np.zeros(len(nonmembers))])
    scores = np.concatenate([members, nonmembers])
    if resolution is not None:
        step = resolution / scores.shape[1]  # with more classes, probabilities are smaller and need finer steps
        scores = (scores / step).round() * step
    labelled = np.column_stack([scores, labels])
    points, counts = np.unique(labelled, axis=0, return_counts=True)
    svm = SVC(C=3, gamma="auto", kernel="rbf", random_state=0)  # None would draw from numpy's global generator
    return svm.fit(points[:, :-1], points[:, -1], sample_weight=counts)


def is_member(svm: SVC, scores: np.ndarray) -> np.ndarray:
    """Whether a fitted SVM calls each of the scores `(M, d)` a member: bool `(M,)`.

    `SVC.predict` gives the same answers and takes six times as long.
    """
    parts = np.array_split(scores, 1 + len(scores) * len(svm.support_vectors_) // KERNEL_SIZE)
    return np.concatenate([rbf_kernel(part, svm.support_vectors_) @ svm.dual_coef_[0] for part in parts]) > -svm.intercept_[0]


def as_rows(scores: Tensor) -> np.ndarray:
    """Scores `(N,)` or `(N, d)` as a float64 array `(N, d)`; `d` is 1 for the first."""
    return scores.detach().cpu().double().unsqueeze(-1).flatten(1).numpy()


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(SMALLEST).log()


STATISTICS = {
    function.__name__: function
    for function in (correctness, confidence, max_confidence, entropy, modified_entropy, probability)
}

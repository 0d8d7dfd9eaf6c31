"""U-LiRA: a likelihood-ratio attack on the method, with shadow models that it unlearned (Hayes et al. 2024)."""

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.low_rates import low_rates
from dau_lightning.audit.shadows import jackknife, members, shadow_margins

FEWEST_SCORES = 50  # of vulnerable samples or canaries, over all targets
POOLED_BELOW = 32  # models a Gaussian, below which the variance is pooled over samples


class ULiRA(AuditTest):
    """AUC, in percent, of samples that a model unlearned against samples that it never saw, mean over the shadow models.

    Each shadow model is the target in turn. The others give each sample two Gaussians of `phi`: of models that unlearned it
    and of models that never saw it. The score is the log-likelihood ratio of the two. The figure judges the method, not the
    weights of one run.
    """

    ideal = 50.0
    trains = "shadows"
    kinds = "method", "retrain", "original"

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The error is the jackknife's.

        Further, over all targets: TPR at low FPR; the AUC on `vulnerable` samples, and on canaries, the forget samples that a
        corruption changed.
        """
        inside, margins = members(case), shadow_margins(case, kind)
        value, error = jackknife(lambda each, known: area(likelihood_ratios(each[0], known), known), [margins], inside)
        scores = likelihood_ratios(margins, inside)
        sample = np.where(inside, scores, 0).sum(0) / inside.sum(0)
        arrays = {"forget": scores[inside], "unseen": scores[~inside], "sample": sample}
        details = low_rates(arrays["forget"], arrays["unseen"])
        chosen = {"auc_vulnerable": vulnerable(shadow_margins(case, "original"), inside)}
        if case.split.forget.corrupted is not None:
            chosen["auc_canaries"] = case.split.forget.corrupted.numpy().nonzero()[0]
        for name, at in chosen.items():
            if scores[:, at].size >= FEWEST_SCORES:
                details[name] = 100 * float(roc_auc_score(inside[:, at].ravel(), scores[:, at].ravel()))
        return Figure(value, error, details, arrays)


def vulnerable(margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The 5% of the samples, indices `(M,)`, whose `phi` training changes most (RULI 2025).

    Args:
        margins: `phi` under models that were trained with the sample or without it, `(S, N)`.
        inside: bool `(S, N)`, whether a model was trained with it.
    """
    means = [np.where(chosen, margins, 0).sum(0) / chosen.sum(0) for chosen in (inside, ~inside)]
    return np.argsort(means[1] - means[0], kind="stable")[: max(1, round(0.05 * margins.shape[1]))]


def likelihood_ratios(margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The score of every sample under every target, float64 `(S, N)`.

    Args:
        margins: `phi`, `(S, N)`.
        inside: bool `(S, N)`, whether a model unlearned the sample.
    """
    return np.stack([_of_target(margins, inside, target) for target in range(len(margins))])


def area(scores: np.ndarray, inside: np.ndarray) -> float:
    """The mean over targets of the AUC, in percent, of scores `(S, N)` for memberships bool `(S, N)`."""
    return 100 * float(np.mean([roc_auc_score(known, each) for known, each in zip(inside, scores, strict=True)]))


def _of_target(margins: np.ndarray, inside: np.ndarray, target: int) -> np.ndarray:
    others = np.arange(len(margins)) != target
    gaussians = (_gaussian(margins[others], chosen[others]) for chosen in (inside, ~inside))
    unlearned, never = (norm.logpdf(margins[target], mean, deviation) for mean, deviation in gaussians)
    return unlearned - never


def _gaussian(margins: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
    """Mean of each sample `(N,)` over the chosen models, bool `(S, N)`, and deviation, pooled over samples if they are few."""
    count = chosen.sum(0)
    mean = np.where(chosen, margins, 0).sum(0) / count
    squares = (np.where(chosen, margins - mean, 0) ** 2).sum(0)
    if count.min() < POOLED_BELOW - 1:  # the target is one of POOLED_BELOW
        return mean, max(float((squares.sum() / (count - 1).sum()) ** 0.5), 1e-12)
    return mean, np.maximum((squares / (count - 1)) ** 0.5, 1e-12)

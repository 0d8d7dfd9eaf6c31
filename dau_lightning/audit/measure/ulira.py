"""U-LiRA: a likelihood-ratio attack on the method, with shadow models that it unlearned (Hayes et al. 2024)."""

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.base import Attack
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.low_rates import low_rates
from dau_lightning.audit.shadows import jackknife, members, other_pairs, shadow_margins

POOLED_BELOW = 64  # shadow models, below which the variance is pooled over samples


class ULiRA(Attack):
    """AUC, in percent, of samples that a model unlearned against samples that it never saw, mean over the shadow models.

    Each shadow model is the target in turn. The other pairs of models with complementary halves give each sample two Gaussians
    of `phi`: of models that unlearned it and of models that never saw it. (With the target's own partner, samples that it
    unlearned would be judged by one model fewer than the others, and Retrain would end below 50.) The score is the
    log-likelihood ratio of the two. The figure judges the method, not the weights of one run.
    """

    ideal = 50.0
    trains = ("shadows",)
    of_methods = True

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influences are the jackknife's. Further: the TPR at low FPR over all targets."""
        inside, margins, pooled = members(case), shadow_margins(case, kind), case.shadows < POOLED_BELOW

        def mean_area(arrays: list[np.ndarray], known: np.ndarray) -> float:
            scores = likelihood_ratios(arrays[0], known, pooled)
            return 100 * float(np.mean([roc_auc_score(*each) for each in zip(known, scores, strict=True)]))

        scores = self.shadow_scores(case, kind)
        arrays = {
            "forget": scores[inside],
            "unseen": scores[~inside],
            "sample": np.where(inside, scores, 0).sum(0) / inside.sum(0),
        }
        return Figure(*jackknife(mean_area, [margins], inside), low_rates(arrays["forget"], arrays["unseen"]), arrays)

    def shadow_scores(self, case: Case, kind: str) -> np.ndarray:
        """See `Attack.shadow_scores`."""
        return likelihood_ratios(shadow_margins(case, kind), members(case), case.shadows < POOLED_BELOW)


def likelihood_ratios(margins: np.ndarray, inside: np.ndarray, pooled: bool) -> np.ndarray:
    """The score of every sample under every target, float64 `(S, N)`.

    Args:
        margins: `phi`, `(S, N)`.
        inside: bool `(S, N)`, whether a model unlearned the sample.
        pooled: whether all samples have one variance, because there are few models.
    """
    return np.stack([_of_target(margins, inside, pooled, target) for target in range(len(margins))])


def _of_target(margins: np.ndarray, inside: np.ndarray, pooled: bool, target: int) -> np.ndarray:
    others = other_pairs(len(margins), target)
    gaussians = (_gaussian(margins[others], chosen[others], pooled) for chosen in (inside, ~inside))
    unlearned, never = (norm.logpdf(margins[target], mean, deviation) for mean, deviation in gaussians)
    return unlearned - never


def _gaussian(margins: np.ndarray, chosen: np.ndarray, pooled: bool) -> tuple[np.ndarray, np.ndarray | float]:
    """Mean of each sample `(N,)` over the chosen models, bool `(S, N)`; deviation of each sample or pooled over samples."""
    count = chosen.sum(0)
    mean = np.where(chosen, margins, 0).sum(0) / count
    squares = (np.where(chosen, margins - mean, 0) ** 2).sum(0)
    if pooled:
        return mean, max(float((squares.sum() / (count - 1).sum()) ** 0.5), 1e-12)
    return mean, np.maximum((squares / (count - 1)) ** 0.5, 1e-12)

"""Three-sample test: is the unlearned model nearer to Retrain or to the original? (Bounliphone et al. 2016)."""

import numpy as np
import torch
from scipy.spatial.distance import pdist
from scipy.stats import norm
from sklearn.metrics.pairwise import rbf_kernel

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, require_enough

LEVEL = 0.05


class ThreeSample(AuditTest):
    """`z = (MMD^2(unlearned, original) - MMD^2(unlearned, Retrain)) / deviation`; above 0: nearer to Retrain.

    The samples are the softmax outputs on three disjoint thirds of `D_f`, one for each model, since the test assumes
    independent samples. A model passes if the one-sided p of z is below 0.05.
    """

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`; the error of z is 1 by its definition, and `p` stands in the details."""
        third = len(case.part("forget")) // 3
        require_enough(third, "images in a third of the forget set, which each model gets")
        thirds = torch.randperm(3 * third, generator=case.draws("thirds")).split(third)
        samples = [
            case.outputs(each, "forget").logits[at].softmax(1).double().numpy()
            for each, at in zip((kind, "retrain", "original"), thirds, strict=True)
        ]
        z = relative_similarity(*samples)
        return Figure(z, np.ones(1), {"p": float(norm.sf(z))})

    own_rule = True

    def passes(self, figure: Figure, standard: float, tolerance: float) -> bool:
        """Whether the model is nearer to Retrain, at the 5% level."""
        return figure.details["p"] < LEVEL


def relative_similarity(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float:
    """`(MMD^2(x, z) - MMD^2(x, y))` over its asymptotic deviation; positive where `x` is nearer to `y`.

    The kernel is Gaussian, with the median distance of all samples as its width. The difference of the unbiased estimates is
    a U-statistic of the triples `v_i = (x_i, y_i, z_i)` with the kernel
    `h(v_i, v_j) = [k(z_i, z_j) - k(x_i, z_j) - k(x_j, z_i)] - [k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)]`;
    `k(x_i, x_j)` cancels. Its asymptotic variance is `4 Var_i(E_j h(v_i, v_j)) / n`.

    Args:
        x: samples `(n, d)`.
        y: as many samples of another distribution.
        z: as many samples of a third one.
    """
    count = len(x)
    median = float(np.median(pdist(np.concatenate([x, y, z])))) or 1.0
    gamma = 1 / (2 * median**2)

    def less_own(other: np.ndarray) -> np.ndarray:
        cross = rbf_kernel(x, other, gamma)
        return rbf_kernel(other, other, gamma) - cross - cross.T

    pairs = less_own(z) - less_own(y)
    np.fill_diagonal(pairs, 0.0)
    rows = pairs.sum(1) / (count - 1)
    deviation = 2 * float(rows.std(ddof=1)) / count**0.5
    return float(rows.mean()) / deviation if deviation else 0.0

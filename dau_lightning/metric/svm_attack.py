"""The published attacks as metrics: the median of MIA-efficacy over seeded draws of members and nonmembers."""

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.metric.mia import STATISTICS, as_rows, fitted, is_member

DRAWS = 9  # number of draws of members and nonmembers


class Draws(NamedTuple):
    """The efficacy of one attack over several draws of its members and nonmembers, in percent.

    Attributes:
        efficacy: the median over the draws that are not void (`is_void`); over all draws if all are void.
        lowest: the minimum over the same draws.
        highest: the maximum over the same draws.
        voided: number of void draws.
    """

    efficacy: float
    lowest: float
    highest: float
    voided: int


def is_void(svm: SVC, members: np.ndarray, certain: np.ndarray) -> bool:
    """Return whether a draw is void: its SVM calls most of its own members nonmembers, or most predictions with `p_y = 1`.

    Args:
        svm: the SVM, see `fitted`.
        members: the scores of the members that it was fitted on, `(N, d)`.
        certain: the scores of predictions with `p_y = 1`, one for each class, `(K, d)`.
    """
    return bool(is_member(svm, members).mean() < 0.5 or is_member(svm, certain).mean() < 0.5)


class SVMAttack(Metric):
    """MIA-efficacy of an attack on one statistic, in percent: the median over seeded draws.

    Which retain samples are drawn as members can change the efficacy by more than 10 points. Each draw takes as many members
    as nonmembers: all samples of the smaller group, and as many of the larger one at random.

    Args:
        statistic: the name of a function of `mia`, from probabilities `(N, K)` and targets `(N,)` to scores `(N,)` or `(N, d)`.
        seed: the seed of the draws, which are the same for every statistic.
        resolution: see `fitted`; rounding leaves far fewer points to fit and changes hardly any decision.

    Raises:
        InputError: there is no such statistic.
    """

    full_state_update = False
    member: list[Tensor]
    nonmember: list[Tensor]
    forget: list[Tensor]

    def __init__(self, statistic: str, seed: int, resolution: float | None = None, **kwargs: Any) -> None:
        super().__init__(sync_on_compute=False, **kwargs)  # one process sees every sample
        if statistic not in STATISTICS:
            raise InputError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic!r}")
        self.statistic: Callable[[Tensor, Tensor], Tensor] = STATISTICS[statistic]
        self.seed, self.resolution, self.num_classes = seed, resolution, 0
        for role in ("member", "nonmember", "forget"):
            self.add_state(role, default=[], dist_reduce_fx="cat")

    def update(self, role: str, logits: Tensor, targets: Tensor) -> None:
        """Add the predictions for some samples.

        Args:
            role: `member`, `nonmember` or `forget`.
            logits: the evaluated model's logits, float `(B, K)`.
            targets: int64 `(B,)`.
        """
        self.num_classes = logits.shape[1]
        getattr(self, role).append(self.statistic(logits.float().softmax(1), targets))

    def compute(self) -> Draws:
        """The efficacy over all samples added."""
        member, nonmember, forget = (as_rows(dim_zero_cat(getattr(self, role))) for role in ("member", "nonmember", "forget"))
        certain = as_rows(self.statistic(torch.eye(self.num_classes), torch.arange(self.num_classes)))  # p_y = 1, a row a class
        if not len(member) or not len(nonmember) or not len(forget):
            raise ValueError("an attack needs members, nonmembers and forget samples")
        count, draws = min(len(member), len(nonmember)), generator(self.seed, "members and nonmembers")
        found, voided = list[float](), list[bool]()
        for _ in range(DRAWS):
            drawn = (scores[torch.randperm(len(scores), generator=draws)[:count].numpy()] for scores in (member, nonmember))
            members, nonmembers = drawn
            svm = fitted(members, nonmembers, self.resolution)
            found.append(100 * float((~is_member(svm, forget)).mean()))
            voided.append(is_void(svm, members, certain))
        votes = [efficacy for efficacy, void in zip(found, voided, strict=True) if not void] or found
        return Draws(median(votes), min(votes), max(votes), sum(voided))

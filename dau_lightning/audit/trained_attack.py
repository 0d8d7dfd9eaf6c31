"""Attacks that are trained: fitted on one half of the forgotten and unseen images, scored on the other, in both directions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from dau_lightning.audit.area import area
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import MORE, Figure, NotEnough, require_enough
from dau_lightning.audit.low_rates import low_rates
from dau_lightning.metric.auc import unseen_weights

PARTS = "forget", "unseen"
WRONG_LABELS = "not for wrong labels: it would tell wrong labels from right ones; rmia and ulira compare with Retrain"


class Half(NamedTuple):
    """Indices of forget and of unseen samples, int64 `(N,)` and `(M,)`."""

    forget: Tensor
    unseen: Tensor


HalfAttack = Callable[[Half, Half], tuple[Tensor, Tensor]]


def trained_attack(case: Case, name: str, attack: HalfAttack) -> Figure:
    """The AUC of an attack in percent, the mean of two directions; and its balanced accuracy and TPR over both.

    Args:
        case: the run under audit.
        name: of the test; it keys the draw of the halves, which is the same for every model.
        attack: gets a half to be fitted on, with equally many forget and unseen samples of each class, and a half to score;
            returns log-odds of the forget and of the unseen samples in it, `(N,)` and `(M,)`, above 0 for forgotten ones.

    Raises:
        NotEnough: there are too few samples, or the labels of the forget set are wrong.
    """
    if case.split.wrong_labels:
        raise NotEnough(WRONG_LABELS)
    targets = [case.part(part).targets for part in PARTS]
    draws = case.draws(name)
    (forget, other_forget), (unseen, other_unseen) = (_halved(each, draws) for each in targets)
    first, second = Half(forget, unseen), Half(other_forget, other_unseen)
    areas, influences, scores = [], [], [np.zeros(len(each)) for each in targets]
    for fitted, scored in ((first, second), (second, first)):
        found = [each.double().numpy() for each in attack(matched(targets[0], targets[1], fitted), scored)]
        both = area(found[0], targets[0][scored.forget], found[1], targets[1][scored.unseen])
        if both is None:
            raise NotEnough(f"half of the unseen images have no forgotten image of their classes: {MORE}")
        areas.append(both[0])
        influences.append(both[1] / 2)
        for own, at, each in zip(scores, scored, found, strict=True):
            own[at.numpy()] = each
    details = {"balanced_accuracy": _balanced_accuracy(scores, targets), **low_rates(*scores)}
    return Figure(sum(areas) / 2, np.concatenate(influences), details)


def _balanced_accuracy(scores: list[np.ndarray], targets: list[Tensor]) -> float:
    """In percent, over all scores; unseen samples are weighted to the classes of the forget set."""
    weights = unseen_weights(*targets)
    assert weights is not None
    members, said = np.repeat([1, 0], [*map(len, scores)]), np.concatenate(scores) > 0
    each = np.concatenate([np.ones(len(scores[0])), weights.numpy()])
    return 100 * float(balanced_accuracy_score(members, said, sample_weight=each))


def matched(forget: Tensor, unseen: Tensor, half: Half) -> Half:
    """The samples of a half that have a partner of their class, so that an attacker cannot tell the two kinds by classes.

    Args:
        forget: labels of all forget samples, int64.
        unseen: labels of all unseen samples, int64.
        half: the half, in random order.

    Raises:
        NotEnough: there are too few pairs.
    """
    kept: list[list[Tensor]] = [[], []]
    for label in forget[half.forget].unique():
        members = half.forget[forget[half.forget] == label], half.unseen[unseen[half.unseen] == label]
        for own, each in zip(kept, members, strict=True):
            own.append(each[: min(map(len, members))])
    pairs = Half(*map(torch.cat, kept))
    what = "forgotten images with unseen ones of their class to fit the attacker on"
    require_enough(len(pairs.forget), what, f"{MORE}, or test on more")
    return pairs


def _halved(targets: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two halves of the indices in random order; each class is halved."""
    shuffled = torch.randperm(len(targets), generator=draws)
    by_class = torch.cat([shuffled[targets[shuffled] == label] for label in targets.unique()])
    return by_class[::2], by_class[1::2]

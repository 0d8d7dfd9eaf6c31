"""Attacks that are trained: fitted on one half of the forgotten and unseen images, scored on the other, in both directions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import MORE, Figure, NotEnough, require_enough
from dau_lightning.metric.auc import auc

PARTS = "forget", "unseen"
WRONG_LABELS = "not for wrong labels: it would tell wrong labels from right ones; rmia and ulira compare with Retrain"


class Half(NamedTuple):
    """Indices of forget and of unseen samples, int64 `(N,)` and `(M,)`."""

    forget: Tensor
    unseen: Tensor


Attack = Callable[[Half, Half], tuple[Tensor, Tensor]]


def trained_attack(case: Case, name: str, attack: Attack) -> Figure:
    """The AUC of an attack, in percent, and its standard error: the mean of two directions.

    Args:
        case: the run under audit.
        name: of the test; it keys the draw of the halves, which is the same for every model.
        attack: gets a half to be fitted on, with equally many forget and unseen samples of each class, and a half to score;
            returns scores of the forget and of the unseen samples in it, `(N,)` and `(M,)`, high for forgotten ones.

    Raises:
        NotEnough: there are too few samples, or the labels of the forget set are wrong.
    """
    if case.split.wrong_labels:
        raise NotEnough(WRONG_LABELS)
    forget, unseen = (case.part(part).targets for part in PARTS)
    draws = case.draws(name)
    first, second = (Half(*both) for both in zip(_halved(forget, draws), _halved(unseen, draws), strict=True))
    areas = []
    for fitted, scored in ((first, second), (second, first)):
        forget_scores, unseen_scores = attack(matched(forget, unseen, fitted), scored)
        area = auc(forget_scores, forget[scored.forget], unseen_scores, unseen[scored.unseen])
        assert area, "both halves have pairs of a class"
        areas.append(area)
    values, errors = torch.tensor(areas).double().T
    return Figure(float(values.mean()), float(errors.norm()) / 2)


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
    members = [shuffled[targets[shuffled] == label] for label in targets.unique()]
    return torch.cat([each[::2] for each in members]), torch.cat([each[1::2] for each in members])

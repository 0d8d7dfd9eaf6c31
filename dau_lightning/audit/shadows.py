"""Shadow models: trained with a random half of the forget set, which the method then unlearns (Hayes et al. 2024).

Of S shadow models each forget sample is in exactly S/2. Beside each stands a Retrain of its own, trained on the retain set.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dau_lightning.audit.case import OTHER_RECIPE, Case
from dau_lightning.audit.figure import NotEnough, require_enough
from dau_lightning.audit.further_models import reference, require_time, shadow_split, training_of
from dau_lightning.audit.parallel import in_parallel, workers
from dau_lightning.metric.auc import confidence_margin
from dau_lightning.network.defender import Defender
from dau_lightning.training.reference import halves

FEWEST_SHADOWS = 8  # two Gaussians for each sample, without the target: three models each
FOLDER = "shadows"  # in the run folder, for the unlearned ones
WORK = {"original": "shadow models", "retrain": "their Retrains", "method": "their unlearnings"}

Statistic = Callable[[list[np.ndarray], np.ndarray], float]


class ShadowOutputs(NamedTuple):
    """Of S shadow models: logits of the N forget images, float32 `(S, N, K)`, and `phi` of the test images, `(S, T)`."""

    forget: Tensor
    test: Tensor


def members(case: Case) -> np.ndarray:
    """Which shadow model was trained with which forget sample: bool `(S, N)`.

    Raises:
        NotEnough: there are too few shadow models or forget samples.
    """
    if not case.own_recipe:
        raise NotEnough(OTHER_RECIPE)
    if case.shadows < FEWEST_SHADOWS:
        seconds = 16 * sum(case.seconds.get(kind, 0.0) for kind in ("original", "original", "method")) / workers(case)
        raise NotEnough(
            f"it needs at least {FEWEST_SHADOWS} shadow models: references=4 shadows=16 trains them, in about {seconds:.0f} "
            "seconds"
        )
    require_enough(len(case.split.forget), "forgotten images")
    masks = halves(case.split.forget.targets, case.shadows, case.seed, "shadow halves", case.split.split_hash)
    return np.stack([mask.numpy() for mask in masks])


def shadow_outputs(case: Case, kind: str) -> ShadowOutputs:
    """The outputs of every shadow model.

    Args:
        case: the run under audit.
        kind: `original`: the shadow models themselves; `method`: after the run's method unlearned their half; `retrain`: the
            Retrain beside each.
    """
    if kind not in case.shadow_outputs:
        works = [partial(_outputs, kind=kind, number=number) for number in range(len(members(case)))]
        if kind == "method":
            shadow_outputs(case, "original")  # trains those that the method changes
        found = in_parallel(case, works, WORK[kind])
        case.shadow_outputs[kind] = ShadowOutputs(*(torch.stack(each) for each in zip(*found, strict=True)))
    return case.shadow_outputs[kind]


def shadow_margins(case: Case, kind: str) -> np.ndarray:
    """`phi` of the forget samples under every shadow model, float64 `(S, N)`; see `shadow_outputs`."""
    targets = case.part("forget").targets
    return np.stack([confidence_margin(logits, targets).numpy() for logits in shadow_outputs(case, kind).forget])


def other_pairs(count: int, target: int) -> np.ndarray:
    """Which of S shadow models are not of the target's pair with complementary halves, bool `(S,)`."""
    return np.arange(count) // 2 != target // 2


def jackknife(statistic: Statistic, margins: list[np.ndarray], inside: np.ndarray) -> tuple[float, np.ndarray]:
    """A statistic of shadow models, and the influence on it of every pair of models with complementary halves.

    The squares of the influences add up to the jackknife's variance over the random draws of halves and trainings, for which
    each pair is left out once.

    Args:
        statistic: a function of margins and memberships.
        margins: arrays `(S, N)`.
        inside: the memberships, bool `(S, N)`.
    """
    pairs = len(inside) // 2
    without = [np.delete(np.arange(len(inside)), [2 * pair, 2 * pair + 1]) for pair in range(pairs)]
    values = np.array([statistic([each[rest] for each in margins], inside[rest]) for rest in without])
    return statistic(margins, inside), (values - values.mean()) * ((pairs - 1) / pairs) ** 0.5


def cross_fitted(count: int, attack: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """The scores of an attack that is fitted on one half of the shadow models and scores the other, both ways.

    Args:
        count: the number of shadow models, S. Pairs with complementary halves stay together.
        attack: gets the indices of models to be fitted on and of T models to score; returns scores `(T, N)`.

    Returns:
        Scores float64 `(S, N)`.
    """
    first, second = (np.flatnonzero(np.arange(count) // 2 % 2 == half) for half in (0, 1))
    scores = np.concatenate([attack(second, first), attack(first, second)])
    return scores[np.argsort(np.concatenate([first, second]))]


def _outputs(case: Case, kind: str, number: int) -> tuple[Tensor, Tensor]:
    model, test = _shadow(case, kind, number), case.part("test")
    forget, unseen = (case.outputs_on(model, images).logits for images in (case.part("forget"), test))
    return forget, confidence_margin(unseen, test.targets)


def _shadow(case: Case, kind: str, number: int) -> Defender:
    """One shadow model after the work of a kind."""
    if kind == "retrain":
        return reference(case, case.split.retain, "shadow retrain", number)  # `further_retrains` are among them
    (mask,) = halves(case.split.forget.targets, number + 1, case.seed, "shadow halves", case.split.split_hash)[number:]
    split = shadow_split(case, mask)
    original = reference(case, split.train, "shadow", number)
    if kind == "original":
        return original
    training = training_of(case, "shadow", number)
    module = training.module(case.method, split)
    if module.phase == "original":  # the method that forgets nothing
        return original
    if module.from_scratch:
        return reference(case, case.split.retain, f"shadow {module.phase}", number)
    require_time(case, "the unlearning of shadow", number)
    module.check(split)
    module.defender.load_state_dict(original.state_dict())
    replace(training, folder=case.training.folder / FOLDER / str(number)).unlearned(module, split, case.mask)
    return module.defender

"""Shadow models: trained with a random half of the forget set, which the method then unlearns (Hayes et al. 2024).

Of S shadow models each forget sample is in exactly S/2. Beside each stands a Retrain of its own, trained on the retain set.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import NotEnough, require_enough
from dau_lightning.audit.further_models import reference, require_time, shadow_split, training_of
from dau_lightning.audit.parallel import in_parallel, workers
from dau_lightning.metric.auc import confidence_margin
from dau_lightning.network.defender import Defender
from dau_lightning.training.reference import halves

FEWEST_SHADOWS = 8  # two Gaussians for each sample, without the target: three models each
FOLDER = "shadows"  # in the run folder, for the unlearned ones
WORK = {"original": "shadow models", "retrain": "their Retrains", "method": "their unlearnings"}

Margins = np.ndarray
Statistic = Callable[[list[Margins], np.ndarray], float]


def members(case: Case) -> np.ndarray:
    """Which shadow model was trained with which forget sample: bool `(S, N)`.

    Raises:
        NotEnough: there are too few shadow models or forget samples.
    """
    if case.shadows < FEWEST_SHADOWS:
        seconds = 16 * sum(case.seconds.get(kind, 0.0) for kind in ("original", "original", "method")) / workers(case)
        raise NotEnough(
            f"it needs at least {FEWEST_SHADOWS} shadow models: references=4 shadows=16 trains them, in about {seconds:.0f} "
            "seconds"
        )
    require_enough(len(case.split.forget), "forgotten images")
    masks = halves(case.split.forget.targets, case.shadows, case.seed, "shadow halves", case.split.split_hash)
    return np.stack([mask.numpy() for mask in masks])


def shadow_margins(case: Case, kind: str) -> Margins:
    """`phi` of the forget samples under every shadow model, float64 `(S, N)`.

    Args:
        case: the run under audit.
        kind: `original`: the shadow models themselves; `method`: after the run's method unlearned their half; `retrain`: the
            Retrain beside each.
    """
    if kind not in case.shadow_margins:
        works = [partial(_margins, kind=kind, number=number) for number in range(len(members(case)))]
        if kind == "method":
            shadow_margins(case, "original")  # trains those that the method changes
        case.shadow_margins[kind] = np.stack(in_parallel(case, works, WORK[kind]))
    return case.shadow_margins[kind]


def jackknife(statistic: Statistic, margins: list[Margins], inside: np.ndarray) -> tuple[float, float]:
    """A statistic of shadow models, and its standard error over the random draws of halves and trainings.

    The error is the jackknife's: each pair of shadow models with complementary halves is left out once.

    Args:
        statistic: a function of margins and memberships.
        margins: arrays `(S, N)`.
        inside: the memberships, bool `(S, N)`.
    """
    pairs = len(inside) // 2
    without = [np.delete(np.arange(len(inside)), [2 * pair, 2 * pair + 1]) for pair in range(pairs)]
    values = [statistic([each[rest] for each in margins], inside[rest]) for rest in without]
    return statistic(margins, inside), float(((pairs - 1) * np.var(values)) ** 0.5)


def _margins(case: Case, kind: str, number: int) -> Margins:
    forget = case.part("forget")
    logits = case.outputs_on(_shadow(case, kind, number), forget).logits
    return confidence_margin(logits, forget.targets).numpy()


def _shadow(case: Case, kind: str, number: int) -> Defender:
    """One shadow model after the work of a kind."""
    if kind == "retrain":
        return reference(case, case.split.retain, "shadow retrain", number)
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
    module.defender.load_state_dict(original.state_dict())
    replace(training, folder=case.training.folder / FOLDER / str(number)).unlearned(module, split, case.mask)
    return module.defender

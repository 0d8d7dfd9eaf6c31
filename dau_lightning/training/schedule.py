"""The learning rate over a training."""

import math
from collections.abc import Sequence


def rate_factor(schedule: str, progress: float, milestones: Sequence[float] = ()) -> float:
    """Return the learning rate divided by its highest value, at a progress in [0, 1).

    `constant` is 1; `linear` falls to 0, `cosine` along half a wave; `one_cycle` rises from 0.1 over the first fifth and then
    falls linearly to 0; `step` divides by ten at each milestone, which is a progress too.

    Raises:
        ValueError: the schedule is none of these.

    >>> [rate_factor("one_cycle", p) for p in (0, 0.2, 0.6)]
    [0.1, 1.0, 0.5]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - progress
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "one_cycle":
        return 0.1 + 4.5 * progress if progress < 0.2 else (1 - progress) / 0.8
    if schedule == "step":
        return 0.1 ** sum(progress >= milestone for milestone in milestones)
    raise ValueError(f"schedule must be constant, linear, cosine, one_cycle or step, got {schedule!r}")

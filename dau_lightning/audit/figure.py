"""The figure of one model in one test of an audit, and the error of a test that cannot be done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FEWEST = 20  # samples on which a percentage or a fit says anything
MORE = "forget more images"  # what helps if there are fewer


class NotEnough(Exception):
    """A test cannot be done with what there is; the message says what is missing, and how to get it where that is known."""


def require_enough(count: int, what: str, more: str = MORE) -> None:
    """Raise `NotEnough` unless there are `FEWEST` samples; the message says what helps.

    Args:
        count: how many there are.
        what: what they are, such as "unseen images".
        more: what helps.
    """
    if count < FEWEST:
        raise NotEnough(f"there are {count} {what}, it needs {FEWEST}: {more}")


class TimeOver(NotEnough):
    """The time is over; the same command goes on."""


@dataclass(frozen=True)
class Figure:
    """The figure of one model in one test.

    Attributes:
        value: the figure itself.
        influence: how much each independent sample moves the figure, float64 `(n,)`: its squares add up to the variance that
            comes from the draw of the samples. For every model of a test the samples are the same, in the same order, so the
            difference of two influences gives the error of the difference of two figures.
        details: further numbers for `audit.json`, by name.
        arrays: scores of single samples, from which pictures are drawn, by name.
    """

    value: float
    influence: np.ndarray[Any, Any]
    details: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """The standard error from the draw of the samples alone."""
        return float(np.linalg.norm(self.influence))


def mean_figure(values: Any, details: Mapping[str, float] | None = None) -> Figure:
    """The mean of values of single samples `(n,)`.

    >>> round(mean_figure([1.0, 0.0]).error, 3)
    0.5
    """
    samples = np.asarray(values, dtype=float)
    count = len(samples)
    return Figure(float(samples.mean()), (samples - samples.mean()) / (count * (count - 1)) ** 0.5, details or {})

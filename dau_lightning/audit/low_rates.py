"""The share of members that an attack finds while it is wrong on very few nonmembers."""

import numpy as np
from sklearn.metrics import roc_curve

RATES = {"tpr_at_1": 0.01, "tpr_at_0.1": 0.001}


def low_rates(members: np.ndarray, nonmembers: np.ndarray) -> dict[str, float]:
    """True-positive rates, in percent, at false-positive rates of 1% and 0.1%.

    A rate of f is given only with at least 10/f nonmembers.

    Args:
        members: scores `(N,)`, high for members.
        nonmembers: scores `(M,)`.

    >>> low_rates(np.array([2.0, 3.0]), np.linspace(0, 1, 1000))
    {'tpr_at_1': 100.0}
    """
    labels = np.repeat([1, 0], [len(members), len(nonmembers)])
    false, true, _ = roc_curve(labels, np.concatenate([members, nonmembers]), drop_intermediate=False)
    possible = {name: rate for name, rate in RATES.items() if len(nonmembers) * rate >= 10}
    return {name: 100 * float(true[false <= rate].max()) for name, rate in possible.items()}

"""Class-wise spread: where unseen images of a forgotten class go, in comparison with Retrain."""

import numpy as np

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import NO_UNSEEN, Case
from dau_lightning.audit.figure import Figure, NotEnough

RESAMPLES = 200  # of the images, for the standard error


class ClasswiseSpread(AuditTest):
    """Total variation `1/2 sum_c |q_c - q_c,Retrain|`; `q_c` is the share of images that a model puts into class c.

    The images are the test images of the forgotten classes. The figure is 0 for Retrain, at most 1, and separates methods
    that all have UA 100.
    """

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The error is that over bootstrap samples of the images."""
        if not case.whole_classes:
            raise NotEnough("it compares where a forgotten class goes, and no whole class was forgotten")
        if not len(case.part("test_forget")):
            raise NotEnough(NO_UNSEEN)
        classes = len(case.split.train.class_names)
        own, retrain = (case.outputs(each, "test_forget").logits.argmax(1).numpy() for each in (kind, "retrain"))
        draws = np.random.default_rng(case.seed).integers(len(own), size=(RESAMPLES, len(own)))
        again = [total_variation(own[draw], retrain[draw], classes) for draw in draws]
        return Figure(total_variation(own, retrain, classes), float(np.std(again)))


def total_variation(first: np.ndarray, second: np.ndarray, classes: int) -> float:
    """The total variation between the class shares of two lists of predictions, int `(N,)` each.

    >>> total_variation(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    0.25
    """
    shares = [np.bincount(predictions, minlength=classes) / len(predictions) for predictions in (first, second)]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())

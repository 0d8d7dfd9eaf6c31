"""Class-wise spread: where unseen images of a forgotten class go, in comparison with Retrain."""

import numpy as np

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import NO_UNSEEN, Case
from dau_lightning.audit.figure import Figure, NotEnough, mean_figure, require_enough


class ClasswiseSpread(AuditTest):
    """Total variation `1/2 sum_c |q_c - q_c,Retrain|`; `q_c` is the share of images that a model puts into class c.

    The images are the test images of the forgotten classes. The figure is 0 for Retrain, at most 1, and separates methods
    that all have UA 100.
    """

    better = "low"
    to_retrain = True

    def applies(self, case: Case) -> bool:
        """Whether whole classes are forgotten."""
        return case.whole_classes

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`. The influence of an image is what it adds to the differences of the shares."""
        if not len(case.part("test_forget")):
            raise NotEnough(NO_UNSEEN)
        require_enough(len(case.part("test_forget")), "unseen images of the forgotten classes", "add some to the test set")
        classes = len(case.split.train.class_names)
        own, retrain = (np.eye(classes)[case.outputs(each, "test_forget").logits.argmax(1)] for each in (kind, "retrain"))
        difference = own - retrain
        return mean_figure(difference @ np.sign(difference.mean(0)) / 2)

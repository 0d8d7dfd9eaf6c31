"""Canaries: do attacks find forgotten images that no model remembers by itself, such as those with wrong labels?"""

import numpy as np

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.subset import SubsetTest


class Canaries(SubsetTest):
    """The attacks on the forget samples that a corruption changed."""

    def chosen(self, case: Case, margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """See `SubsetTest.chosen`."""
        marked = case.split.forget.corrupted
        if marked is None or not marked.any():
            raise NotEnough("no forgotten image is a canary: corruption=wrong_labels makes some before the original is trained")
        return np.broadcast_to(marked.numpy(), inside.shape)

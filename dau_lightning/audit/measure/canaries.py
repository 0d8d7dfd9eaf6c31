"""Canaries: do attacks find forgotten images that no model remembers by itself, such as those with wrong labels?"""

import numpy as np

from dau_lightning.audit.attacks_on_subset import SubsetTest
from dau_lightning.audit.case import Case


class Canaries(SubsetTest):
    """The attacks on the forget samples that a corruption changed."""

    def applies(self, case: Case) -> bool:
        """Whether some forget sample is a canary."""
        return case.split.forget.corrupted is not None and bool(case.split.forget.corrupted.any())

    def chosen(self, case: Case, margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """See `SubsetTest.chosen`."""
        marked = case.split.forget.corrupted
        assert marked is not None, "the test applies"
        return np.broadcast_to(marked.numpy(), inside.shape)

"""The base class of the attacks and tests of an audit."""

from abc import ABC, abstractmethod

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure


class AuditTest(ABC):
    """Base class of the tests. By itself, a test asks whether noise explains the distance of a model's figure to Retrain's.

    Args:
        priority: the place of the test in the order, from 0; a time limit leaves out the last ones.
        meaning: what the figure (the test's number) is, in a few words, with its unit.
    """

    ideal: float | None = None  # what an exact unlearning gives by theory, where theory says so
    against_unseen = False  # whether `ideal` supposes that an exact unlearning treats forgotten images like unseen ones
    trains: str | None = None  # the models that it needs beside those of the run: `references` or `shadows`
    kinds: tuple[str, ...] = "method", "retrain", "original", "retrain_again"  # the models that it measures
    better = "near"  # Retrain's figure; `low`: no figure is too low; `high`: none is too high
    needs_control = True  # whether the test says nothing unless the original fails it

    def __init__(self, *, priority: int, meaning: str) -> None:
        self.priority, self.meaning = priority, meaning

    @abstractmethod
    def measure(self, case: Case, kind: str) -> Figure:
        """Compute the figure of a model.

        Args:
            case: the run under audit.
            kind: `method`, `retrain`, `original`, or `retrain_again`, the second Retrain that gives the noise.

        Raises:
            NotEnough: the test needs more samples or models than there are.
        """

    def doubt(self, case: Case) -> str:
        """Say why the figures of a case are too uncertain for a verdict; an empty text if they are not."""
        return ""

    def passes(self, figure: Figure, retrain: Figure, tolerance: float) -> bool:
        """Return whether a model passes.

        Args:
            figure: the model's.
            retrain: Retrain's.
            tolerance: the largest difference between the two that noise explains.
        """
        difference = figure.value - retrain.value
        return {"near": abs(difference), "low": difference, "high": -difference}[self.better] <= tolerance

"""The base class of the attacks and tests of an audit."""

from abc import ABC, abstractmethod

import numpy as np

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
    trains: tuple[str, ...] = ()  # the models that it uses beside Retrains and those of the run: `references`, `shadows`
    of_methods = False  # whether it judges the method by shadow models, so that no further Retrain is measured
    better = "near"  # Retrain's figure; `low`: no figure is too low; `high`: none is too high
    to_retrain = False  # whether the figure is a distance to the run's Retrain, whose own figure is then exact
    resolution = 0.0  # the smallest difference that the figure can show
    own_rule = False  # whether `passes` looks at the figure alone
    version = 1  # raise it when a change of the code gives other figures, so that earlier ones are not used

    def __init__(self, *, priority: int, meaning: str) -> None:
        self.priority, self.meaning = priority, meaning

    def applies(self, case: Case) -> bool:
        """Return whether the test asks anything about a case; if not, the audit leaves it out."""
        return True

    @abstractmethod
    def measure(self, case: Case, kind: str) -> Figure:
        """Compute the figure of a model.

        Args:
            case: the run under audit.
            kind: `method`, `retrain`, `original`, or one of `further_models.further_retrains`, which give the noise.

        Raises:
            NotEnough: the test needs more samples or models than there are.
        """

    def doubt(self, case: Case) -> str:
        """Say why the figures of a case are too uncertain for a verdict; an empty text if they are not."""
        return ""

    def passes(self, figure: Figure, standard: float, tolerance: float) -> bool:
        """Return whether a model passes.

        Args:
            figure: the model's.
            standard: what Retrain has.
            tolerance: the largest difference between the two that noise explains.
        """
        difference = figure.value - standard
        return {"near": abs(difference), "low": difference, "high": -difference}[self.better] <= tolerance


class Attack(AuditTest):
    """Base class of the attacks that can be made on every shadow model too, see `shadows.py`."""

    @abstractmethod
    def shadow_scores(self, case: Case, kind: str) -> np.ndarray:
        """The score of every forget sample under every shadow model, float64 `(S, N)`, high for samples that it unlearned.

        Args:
            case: the run under audit.
            kind: see `shadows.shadow_margins`.

        Raises:
            NotEnough: the attack needs further models.
        """

"""What a run does by its modes: the reference, the selection score, own weights, earlier requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dau_lightning.data.request import Scheme
from dau_lightning.data.split import Split, make_split
from dau_lightning.dataset.images import Data
from dau_lightning.run.ledger import PreviousRun
from dau_lightning.storage.weights import StartingWeights


@dataclass(frozen=True)
class Plan:
    """The modes of a run.

    Attributes:
        reference: the Retrain to compare with: `train` it, take one that is `cached` in the store, or `off`.
        selection: the run is for the selection score, and has neither Retrain nor test images.
        val_from_test: the share of the test set that is `D_v`, see `make_split`.
        start: weights that the run starts from; None to train an original by the recipe.
        previous: the run that left these weights, whose requests count as forgotten.
    """

    reference: str
    selection: bool
    val_from_test: float | None
    start: StartingWeights | None = None
    previous: PreviousRun | None = None

    @property
    def with_retrain(self) -> bool:
        """The run trains a Retrain to compare with, or takes it from the store."""
        return self.reference != "off" and not self.selection

    @property
    def with_score(self) -> bool:
        """Half of `D_v` only judges, for the selection score; without a Retrain it is all that given weights are judged by."""
        return self.selection or (self.start is not None and self.reference == "off")

    def split(self, data: Data, scheme: Scheme, seed: int) -> Split:
        """The split of the run."""
        return make_split(
            data,
            scheme,
            seed,
            self.with_score,
            val_from_test=self.val_from_test,
            hold_out=not (self.start and self.start.trained_on_all),
            forgotten=self.previous.ids if self.previous else (),
        )

    def recipe(self, ours: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The recipe by which the original of the first request was trained; None if this project did not train it."""
        if self.previous:
            return self.previous.recipe
        return None if self.start else ours

"""The modes of a run: the reference, the selection score, own weights, earlier requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dau_lightning.base.error import require
from dau_lightning.data.copies import refuse_training_set
from dau_lightning.data.request import Scheme
from dau_lightning.data.split import Corruption, Split, make_split
from dau_lightning.dataset.images import Data
from dau_lightning.run.ledger import PreviousRun
from dau_lightning.storage.weights import StartingWeights


@dataclass(frozen=True)
class Plan:
    """The modes of a run.

    Attributes:
        reference: the Retrain to compare with: `train` it, take one that is `cached` in the store, or `off`.
        selection: whether the run is scored by the selection score; such a run has neither Retrain nor TA.
        val_from_test: the share of the test set that becomes `D_v`, see `make_split`.
        start: weights that the run starts from; None to train an original by the recipe.
        previous: the run that left these weights, whose forgotten samples belong to `D_f` too; None for a first request.
        corruption: changes `D`, see `make_split`.
    """

    reference: str
    selection: bool
    val_from_test: float | None
    start: StartingWeights | None = None
    previous: PreviousRun | None = None
    corruption: Corruption | None = None

    @property
    def with_retrain(self) -> bool:
        """Whether the run compares with a Retrain, which it trains or takes from the store."""
        return self.reference != "off" and not self.selection

    @property
    def with_score(self) -> bool:
        """Whether the run computes the selection score, for which it keeps half of `D_v`.

        A run from given weights with `reference=off` has the selection score in place of the distance to Retrain.
        """
        return self.selection or (self.start is not None and self.reference == "off")

    def split(self, data: Data, scheme: Scheme, seed: int, scores: Tensor | None = None) -> Split:
        """The split of the run; for `scores` see `run.scores`."""
        require(
            not (self.corruption and self.start and not self.previous),
            "original.checkpoint was not trained on the corrupted images: leave it out, or use corruption=none",
        )
        refuse_training_set(data)
        return make_split(
            data,
            scheme,
            seed,
            self.with_score,
            val_from_test=self.val_from_test,
            hold_out=not (self.start and self.start.trained_on_all),
            forgotten=self.previous.ids if self.previous else (),
            corruption=self.corruption,
            scores=scores,
        )

    def recipe(self, ours: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The recipe with which the original of the first request was trained; None if this project did not train it."""
        if self.previous:
            return self.previous.recipe
        return None if self.start else ours

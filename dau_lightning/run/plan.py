"""The modes of a run, resolved once from its settings: the reference, the selection score, own weights, earlier requests."""

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
        with_retrain: whether the run compares with a Retrain, which it trains or takes from the store.
        retrain_from_store: whether the Retrain must be in the store already.
        with_test: whether the run evaluates on the test images that TA counts.
        with_score: whether the run computes the selection score, for which it keeps half of `D_v`.
        start: weights that the run starts from; None to train an original by the recipe.
        previous: the run that left these weights, whose forgotten samples belong to `D_f` too; None for a first request.
        val_from_test: the share of the test set that becomes `D_v`, see `make_split`.
    """

    with_retrain: bool
    retrain_from_store: bool
    with_test: bool
    with_score: bool
    start: StartingWeights | None
    previous: PreviousRun | None
    val_from_test: float | None

    @classmethod
    def of(
        cls,
        reference: str,
        selection: bool,
        val_from_test: float | None,
        start: StartingWeights | None = None,
        previous: PreviousRun | None = None,
    ) -> "Plan":
        """Resolve the settings `reference`, `selection`, `original.checkpoint` and `continue_from`.

        A selection run (`selection=true`) has neither Retrain nor TA. A run from given weights with `reference=off` has the
        selection score in place of the distance to Retrain.
        """
        return cls(
            with_retrain=reference != "off" and not selection,
            retrain_from_store=reference == "cached",
            with_test=not selection,
            with_score=selection or (start is not None and reference == "off"),
            start=start,
            previous=previous,
            val_from_test=val_from_test,
        )

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
        """The recipe with which the original of the first request was trained; None if this project did not train it."""
        if self.previous:
            return self.previous.recipe
        return None if self.start else ours

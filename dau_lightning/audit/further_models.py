"""Further models of a case, trained by the run's recipe into its store: once for all methods and runs of a split."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from dau_lightning.audit.case import OTHER_RECIPE, Case, joined
from dau_lightning.audit.figure import NotEnough, TimeOver
from dau_lightning.audit.parallel import in_parallel, workers
from dau_lightning.base.randomness import key
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.data.request import ids_hash
from dau_lightning.data.split import Split
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from dau_lightning.storage.seal import sha256
from dau_lightning.training.reference import Reference, halves, reference_split
from dau_lightning.training.training import Training


@dataclass(frozen=True)
class Further:
    """The numbers of further models that an audit may train: Retrains, reference models and shadow models."""

    retrains: int
    references: int
    shadows: int


def reference(case: Case, images: Images, *name: object) -> Defender:
    """A model trained on some images of `D`, taken from the store if it is there.

    Args:
        case: the run under audit.
        images: to train on.
        name: tells apart models that are trained on the same images; with the seed it keys weights and batches.

    Raises:
        NotEnough: the time is over.
    """
    require_time(case, *name)
    split, training = reference_split(case.split, images), training_of(case, *name)
    module = training.module(Reference, split)
    training.from_scratch(module, split, case.mask)
    return module.defender


def training_of(case: Case, *name: object) -> Training:
    """The run's training with a seed of its own."""
    return replace(case.training, seed=key(case.seed, "audit", *name))


def require_time(case: Case, *name: object) -> None:
    """Raise `TimeOver` if the time is over."""
    if time.monotonic() > case.deadline:
        said = " ".join(str(part) for part in name)
        raise TimeOver(f"the minutes were over before {said}: the same command goes on there")


def further_retrains(case: Case) -> list[str]:
    """Train Retrain if it is missing, and further ones, into `case.models`; return the kinds of the further ones.

    Those of the shadow models are among them, see `shadows.py`.

    Raises:
        NotEnough: the time is over.
    """
    kinds = [f"retrain {number}" for number in range(case.retrains)]
    works = {kind: partial(_beside, number=number) for number, kind in enumerate(kinds)}
    works |= {"retrain": _retrain} if case.retrains else {}
    missing = {kind: work for kind, work in works.items() if kind not in case.models}
    case.models |= dict(zip(missing, in_parallel(case, list(missing.values()), "Retrains"), strict=True))
    return kinds


def _retrain(case: Case) -> Defender:
    """The run's Retrain."""
    require_time(case, "Retrain")
    module = case.training.module(Retrain, case.split)
    case.training.from_scratch(module, case.split, case.mask)
    return module.defender


def _beside(case: Case, number: int) -> Defender:
    """A Retrain with other weights and batches."""
    return reference(case, case.split.retain, "shadow retrain", number)


def references(case: Case) -> list[str]:
    """Train the reference models, each on a random half of `D`, into `case.models`; return their kinds."""
    if not case.own_recipe:
        raise NotEnough(OTHER_RECIPE)
    if not case.references:
        seconds = 4 * case.seconds.get("original", 0.0) / 2 / workers(case)  # each on half of the images
        raise NotEnough(f"it needs reference models: references=4 trains them, in about {seconds:.0f} seconds")
    kinds = [f"reference {number}" for number in range(case.references)]
    if missing := [(number, kind) for number, kind in enumerate(kinds) if kind not in case.models]:
        models = in_parallel(case, [partial(_half_reference, number=number) for number, _ in missing], "reference models")
        case.models |= {kind: model for (_, kind), model in zip(missing, models, strict=True)}
    return kinds


def _half_reference(case: Case, number: int) -> Defender:
    half = reference_halves(case)[number]
    return reference(case, case.split.train[half], f"reference {number}")


def reference_halves(case: Case) -> Sequence[Tensor]:
    """The half of `D` on which each reference model is trained, bool `(len(train),)`."""
    return halves(case.split.train.targets, case.references, case.seed, "reference halves")


def shadow_split(case: Case, mask: Tensor) -> Split:
    """The split of a shadow model, whose forget set is a part of the run's; the retain set is the same.

    Args:
        case: the run under audit.
        mask: bool `(len(forget),)`.
    """
    forget = case.split.forget[mask]
    split_hash = sha256(case.split.split_hash, ids_hash(forget.ids))
    return replace(case.split, train=joined(case.split.retain, forget), forget=forget, split_hash=split_hash)

"""Scores of the images of `D`, by which some schemes choose: they come from trained networks, before the split is known.

A scheme asks for them by an attribute `references`: 0 asks for the margins of the original, an even number for the
memorisation by so many reference models. Both depend on `D` and the recipe alone, so all schemes share the original.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.devices import broadcast, is_rank_zero, launch
from dau_lightning.base.error import require
from dau_lightning.base.randomness import key
from dau_lightning.baseline.original import Original
from dau_lightning.data.loader import PlainLoader
from dau_lightning.data.request import Scheme
from dau_lightning.data.split import Split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.evaluation.trajectory import outputs_of
from dau_lightning.metric.auc import confidence_margin
from dau_lightning.network.defender import Defender
from dau_lightning.run.plan import Plan
from dau_lightning.scheme.random import random
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.reference import Reference, halves, reference_split
from dau_lightning.training.training import Mask, Training


def scored_split(
    plan: Plan, training: Training, scheme: Scheme, data: Data, check: Callable[[Split], Any], may_train: bool
) -> Split:
    """The split of a run; for a scheme that asks for scores, after training the networks that the store lacks.

    Args:
        plan: the modes of the run.
        training: trains networks.
        scheme: of the run.
        data: the official sets.
        check: called before any training with a split of the right sizes; it raises an error if the run cannot be made.
        may_train: whether networks may be trained; if not, they must be in the store.

    Raises:
        InputError: the run cannot be made, or a network is missing that may not be trained.
    """
    wanted: Any = scheme
    if (references := getattr(wanted, "references", None)) is None:
        return plan.split(data, scheme, training.seed)
    require(references % 2 == 0, f"scheme.references must be even, each image is in half of them; got {references}")
    require(
        not references or plan.recipe(training.recipe) == training.recipe,
        "scheme.references must be 0 for weights that recipe.* did not train: references of another recipe remember otherwise",
    )
    split = plan.split(data, partial(random, fraction=wanted.fraction), training.seed)
    check(split)
    launch(**vars(training.trainer_settings))
    quiet = replace(training, loggers=[])  # the run begins its log once the split is known
    scores = _memorisation(quiet, split, references, may_train) if references else _margins(plan, quiet, split, may_train)
    return plan.split(data, scheme, training.seed, scores)


def _margins(plan: Plan, training: Training, split: Split, may_train: bool) -> Tensor:
    """The margins `log p_y - log(1 - p_y)` of the original on `D`, or of the weights from which the run starts."""
    original = training.module(Original, split)
    if plan.start:
        plan.start.load_into(original.defender.network)
    else:
        _train(training, original, split, training.mask(split, Original), may_train)
    return confidence_margin(_logits(training, original.defender, split.train), split.train.targets)


def _memorisation(training: Training, split: Split, references: int, may_train: bool) -> Tensor:
    """Mean `p_y` of the models that were trained on an image minus that of those that were not, in [-1, 1].

    The audit's references are others: forgotten images that these models chose would look more exposed to them than they are.
    """
    train, mask = split.train, training.mask(split, Original)
    score = torch.zeros(len(train), dtype=torch.float64)
    for number, inside in enumerate(halves(train.targets, references, training.seed, "memorisation")):
        own, apart = reference_split(split, train[inside]), key(training.seed, "memorisation", number)
        seeded = replace(training, seed=apart)
        module = seeded.module(Reference, own)
        _train(seeded, module, own, mask, may_train)
        label = _logits(seeded, module.defender, train).double().softmax(1).gather(1, train.targets.unsqueeze(1)).squeeze(1)
        score += torch.where(inside, label, -label) / (references / 2)
    return score


def _train(training: Training, module: UnlearningModule, split: Split, mask: Mask, may_train: bool) -> None:
    """Train a module into the store, or take it from there."""
    path = training.store.path(module.phase, training.content(module, split))
    require(
        may_train or path.is_file(),
        f"this scheme chooses images by trained networks, and {path} is missing, which nothing may train here: a run of the "
        "same command without preview=true trains it",
    )
    training.from_scratch(module, split, mask)


def _logits(training: Training, defender: Defender, images: Images) -> Tensor:
    """The logits `(N, K)` of a model on images, computed on one device so that all devices choose the same images."""
    found = torch.empty(0)
    if is_rank_zero():
        loader = PlainLoader(images, training.transform)
        found, _ = outputs_of(defender.to(training.device), {"": loader}, training.device)[""]
        defender.cpu()
    return broadcast(found)

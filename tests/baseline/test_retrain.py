from typing import Any

import torch

from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain


def test_sees_the_retain_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(Retrain) == dict.fromkeys(range(36), 2)  # two epochs


def test_follows_the_originals_recipe_from_weights_of_its_own(tiny: Any) -> None:
    training, split = tiny.training(), tiny.split()
    original, retrain, again = (training.module(kind, split) for kind in (Original, Retrain, Retrain))
    for name in training.recipe:
        assert getattr(original, name) == getattr(retrain, name) == training.recipe[name]
    weights = [module.defender.state_dict()["network.0.0.weight"] for module in (original, retrain, again)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


def test_its_store_entry_depends_on_what_is_forgotten(tiny: Any) -> None:
    training, split = tiny.training(), tiny.split()
    content = training.content(training.module(Retrain, split), split)
    assert content["data"] == split.split_hash

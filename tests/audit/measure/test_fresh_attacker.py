"""A fresh attacker finds what there is to find, and nothing else."""

from functools import partial

import pytest

from dau_lightning.audit.measure.fresh_attacker import FreshAttacker
from dau_lightning.audit.verdict import verdict
from dau_lightning.game.attacker import Attacker, StatisticsAttacker
from dau_lightning.storage.audit_file import NOT_ENOUGH

NETWORKS = {"samia": Attacker, "statistics": partial(StatisticsAttacker, attacker_input="probabilities", with_phi=False)}


@pytest.mark.parametrize("network", NETWORKS)
def test_it_tells_the_original_and_cannot_tell_retrain(usual, network):
    test = FreshAttacker(priority=0, meaning="", attacker=NETWORKS[network], epochs=12, batch_size=64, lr=3e-3)
    retrain, original = (test.measure(usual, kind) for kind in ("retrain", "original"))
    assert original.value > 90
    assert abs(retrain.value - 50) < 3 * retrain.error
    found = verdict(test, {"method": retrain, "retrain": retrain, "original": retrain})
    assert found.verdict == NOT_ENOUGH


def test_the_same_seed_gives_the_same_figure(usual):
    test = FreshAttacker(priority=0, meaning="", attacker=NETWORKS["statistics"], epochs=2, batch_size=64, lr=1e-3)
    first, second = (test.measure(usual, "method") for _ in range(2))
    assert (first.value, first.details) == (second.value, second.details)
    assert (first.influence == second.influence).all()


def test_balanced_accuracy_and_tpr_are_those_of_both_directions(usual):
    test = FreshAttacker(priority=0, meaning="", attacker=NETWORKS["statistics"], epochs=12, batch_size=64, lr=3e-3)
    retrain, original = (test.measure(usual, kind).details["balanced_accuracy"] for kind in ("retrain", "original"))
    assert original > 80
    assert abs(retrain - 50) < 10

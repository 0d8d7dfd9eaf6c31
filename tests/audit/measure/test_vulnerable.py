"""Every attack on the images that training changes most."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.vulnerable import Vulnerable, most_changed
from dau_lightning.audit.plan import planned
from dau_lightning.audit.shadows import members, shadow_margins
from tests.audit.conftest import give_margins, shadowed


@pytest.fixture
def case(usual):
    """Training changes the first six images by 9, the others by 3; the method hides all but these six."""
    case, draws = shadowed(usual, 16, method=0.0), np.random.default_rng(1)
    inside, six = members(case), np.arange(120) < 6
    for kind, rare, usual_change in (("original", 9.0, 3.0), ("method", 4.0, 0.0)):
        change = np.where(six, rare, usual_change)
        give_margins(case, kind, draws.normal(size=inside.shape) + change * inside, draws.normal(size=(16, 240)))
    return case


TEST = planned([])["vulnerable"].test


def test_attacks_that_find_nothing_on_average_find_the_vulnerable_images(case):
    found = TEST.measure(case, "method")
    for attack in ("ulira", "fresh_statistics"):  # the differential attack sees from the original what was forgotten
        assert found.details[attack] > 90
        assert found.details[f"{attack}_all"] < 65
    assert found.value == found.details["ulira"]
    assert not [name for name in found.details if name.startswith("rmia")]  # there are no references
    retrain = TEST.measure(case, "retrain")
    assert abs(retrain.value - 50) < 3 * retrain.error


def test_no_model_takes_part_in_the_choice_for_itself(case):
    inside, before = members(case), shadow_margins(case, "original")
    chosen = TEST.chosen(case, before, inside)
    assert (chosen == (np.arange(120) < 6)).all()
    changed = before.copy()
    changed[3] = -1000.0 * inside[3]
    assert (TEST.chosen(case, changed, inside)[3] == chosen[3]).all()
    assert not (TEST.chosen(case, changed, inside)[4] == chosen[4]).all()


def test_the_order_is_that_of_the_change_by_training():
    inside = np.arange(8)[:, None] % 2 == np.arange(40) % 2
    assert list(most_changed(np.where(inside, np.arange(40), 0.0), inside)) == list(range(39, -1, -1))


def test_auc_and_tpr_agree_with_their_definitions(case):
    inside, chosen = members(case), np.broadcast_to(np.arange(120) < 6, (16, 120))
    scores = TEST.attacks["differential"].shadow_scores(case, "method")
    found = TEST.measure(case, "method").details
    pairs = [(inside[s, i], scores[s, i]) for s in range(16) for i in range(6)]
    assert found["differential"] == pytest.approx(100 * roc_auc_score(*zip(*pairs, strict=True)))
    assert chosen.sum() == len(pairs)
    assert "differential_tpr_at_1" not in found  # 960 never seen scores: too few for a rate of 1%


def test_few_scores_are_refused(usual):
    case = shadowed(usual, 8, method=0.0)
    few = Vulnerable(priority=0, meaning="", share=0.05, attacks={})
    with pytest.raises(NotEnough, match="there are 48 scores of such images, it needs 50: take more shadows"):
        few.measure(case, "method")

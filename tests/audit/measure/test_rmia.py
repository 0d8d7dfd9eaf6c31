"""RMIA against a script written from the definitions alone."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.case import Outputs
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.further_models import reference_halves
from dau_lightning.audit.measure.rmia import RMIA, outside
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.draw import stratified
from dau_lightning.training.reference import halves as training_halves
from tests.audit.conftest import answers

TEST = RMIA(priority=0, meaning="", a=0.3, gamma=2.0)


@pytest.fixture
def case(usual):
    """Four reference models that are sure of what they saw."""
    usual.references = 4
    for number, half in enumerate(reference_halves(usual)):
        kind, seen = f"reference {number}", dict(zip(usual.split.train.ids, half.tolist(), strict=True))
        usual.models[kind] = usual.models["method"]
        for offset, part in enumerate(("forget", "retain", "test")):
            images = usual.part(part)
            logits = answers(images.targets, 2.0, 1000 + 10 * number + offset)
            saw = torch.tensor([seen.get(name, False) for name in images.ids])
            logits[saw] += 6 * torch.eye(3)[images.targets[saw]]
            usual.known[kind, part] = Outputs(logits, logits)
    for place, kind in enumerate(("method", "retrain", "original")):
        logits = answers(usual.part("test").targets, 2.0, 2000 + place)
        usual.known[kind, "test"] = Outputs(logits, logits)
    return usual


def by_definition(case, kind):
    """Plain loops over images, population and reference models."""
    halves = reference_halves(case)
    seen = [{name for name, chosen in zip(case.split.train.ids, half.tolist(), strict=True) if chosen} for half in halves]
    left_out = training_halves(case.part("test").targets, 4, case.seed, "reference halves of the test set")
    for number, half in enumerate(left_out):  # a test image has as many references as one of the training set
        seen[number] |= {name for name, chosen in zip(case.part("test").ids, half.tolist(), strict=True) if chosen}

    def ratio(part, index):
        images = case.part(part)

        def p(model):
            return float(case.known[model, part].logits[index].double().softmax(0)[images.targets[index]])

        outside = [p(f"reference {number}") for number in range(4) if images.ids[index] not in seen[number]]
        return p(kind) / (((1 + 0.3) * sum(outside) / len(outside) + 1 - 0.3) / 2)

    test = case.part("test")
    population = stratified(test.targets, len(test) // 2, generator(case.seed, "population")).tolist()
    others = [ratio("test", index) for index in population]
    scores = {"forget": [], "test": []}
    for part, found in scores.items():
        for index in range(len(case.part(part))):
            if part == "forget" or index not in population:
                found.append(sum(ratio(part, index) / other > 2.0 for other in others) / len(others))
    return scores


def test_it_agrees_with_the_definition(case):
    figure, scores = TEST.measure(case, "original"), by_definition(case, "original")
    assert figure.arrays["forget"] == pytest.approx(scores["forget"], abs=1e-6)
    assert figure.arrays["unseen"] == pytest.approx(scores["test"], abs=1e-6)
    labels = [1] * len(scores["forget"]) + [0] * len(scores["test"])
    assert figure.value == pytest.approx(100 * roc_auc_score(labels, scores["forget"] + scores["test"]), abs=1e-6)


@pytest.mark.parametrize(("references", "counting"), [(1, 1), (2, 1), (4, 2)])
def test_as_many_references_count_for_an_unseen_image_as_for_a_forgotten_one(case, references, counting):
    case.references = references
    test, forget = (outside(case, part).sum(0) for part in ("test", "forget"))
    assert set(test) == {counting} == set(forget) - {0}  # of one reference, half of the forgotten images have none


def test_the_order_is_original_above_retrain_at_chance(case):
    original, retrain = (TEST.measure(case, kind) for kind in ("original", "retrain"))
    assert original.value > 75
    assert abs(retrain.value - 50) < 3 * retrain.error
    assert retrain.details["auc_against_retain"] < 30


def test_with_one_reference_only_images_that_it_never_saw_are_scored(case):
    case.references = 1
    scores = TEST.measure(case, "original").arrays["forget"]
    (half,) = reference_halves(case)
    assert torch.isnan(torch.from_numpy(scores)).tolist() == half[240:].tolist()


def test_without_references_it_says_what_they_cost(usual, monkeypatch):
    monkeypatch.setattr("dau_lightning.audit.further_models.workers", lambda _: 1)
    usual.seconds = {"original": 20.0}
    with pytest.raises(NotEnough, match="references=4 trains them, in about 40 seconds"):
        TEST.measure(usual, "method")

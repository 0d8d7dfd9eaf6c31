"""What a case gives to the tests."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dau_lightning.audit.case import NO_RETRAIN, NO_UNSEEN
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.plan import planned
from dau_lightning.audit.trained_attack import Half, matched, trained_attack

QUICK = ["fresh_attacker.epochs=1", "fresh_statistics.epochs=1", "residual_knowledge.draws=2", "relearning.most_steps=2"]


def test_unseen_images_are_test_images_of_the_forgotten_classes(make_case):
    case = make_case(sizes={"test_forget": 30}, method=2.0)
    forget = case.split.forget
    case.split = replace(case.split, forget=forget[(forget.targets == 1).nonzero().flatten()])
    unseen = case.part("unseen")
    assert set(unseen.targets.tolist()) == {1}
    assert len(unseen) == 90
    assert {name.partition("/")[0] for name in unseen.ids} == {"test_retain", "test_forget"}


def test_a_forgotten_class_without_test_images_is_said(make_case):
    case = make_case(method=2.0)
    tests = case.split.test_retain
    case.split = replace(case.split, test_retain=tests[(tests.targets < 0).nonzero().flatten()])
    with pytest.raises(NotEnough, match=NO_UNSEEN):
        case.part("unseen")
    assert len(case.part("test")) == len(case.split.test_forget)  # which models can be shown all the same


def test_a_missing_retrain_is_said(make_case):
    with pytest.raises(NotEnough, match=NO_RETRAIN):
        make_case(method=2.0).outputs("retrain", "forget")


def test_outputs_are_those_of_the_network_in_evaluation_mode(usual):
    usual.known.clear()
    images = usual.training.transform.normalise(usual.part("val").images)
    logits, features = usual.models["method"].eval()(images)
    found = usual.outputs("method", "val")
    assert torch.allclose(found.logits, logits, atol=1e-6)
    assert torch.allclose(found.features, features, atol=1e-6)
    assert usual.outputs("method", "val") is found


def test_an_attack_is_fitted_and_scored_on_disjoint_samples_in_both_directions(usual):
    seen = []

    def attack(fitted: Half, scored: Half):
        seen.append((fitted, scored))
        return torch.ones(len(scored.forget)).double(), torch.zeros(len(scored.unseen)).double()

    figure = trained_attack(usual, "attack", attack)
    assert (figure.value, figure.error) == pytest.approx((100.0, 0.0), abs=1e-9)
    for fitted, scored in seen:
        for one, other in zip(fitted, scored, strict=True):
            assert not set(one.tolist()) & set(other.tolist())
    assert sorted(torch.cat([scored.forget for _, scored in seen]).tolist()) == list(range(120))
    assert sorted(torch.cat([scored.unseen for _, scored in seen]).tolist()) == list(range(240))


def test_a_trained_attack_is_not_for_wrong_labels(usual):
    assert usual.like_unseen
    usual.split = replace(usual.split, request={"wrong_labels": True})
    assert not usual.like_unseen
    with pytest.raises(NotEnough, match=r"not for wrong labels: .*; rmia and ulira compare with Retrain"):
        trained_attack(usual, "attack", lambda *_: pytest.fail("it must not be fitted"))


def test_a_forget_set_that_a_score_chose_is_not_like_unseen_images(usual):
    usual.split = replace(usual.split, request={"chosen_by": "the margin"})
    assert not usual.like_unseen


def test_pairs_have_equal_classes():
    forget, unseen = torch.tensor([0] * 30 + [1] * 10), torch.tensor([0] * 20 + [1] * 50 + [2] * 9)
    pairs = matched(forget, unseen, Half(torch.arange(40), torch.arange(79)))
    assert forget[pairs.forget].bincount().tolist() == unseen[pairs.unseen].bincount().tolist() == [20, 10]
    with pytest.raises(NotEnough, match="there are 10 forgotten images with unseen ones of their class to fit the attacker on"):
        matched(forget[30:], unseen, Half(torch.arange(10), torch.arange(79)))


@pytest.mark.parametrize("name", [name for name, plan in planned([]).items() if not plan.test.trains])
@pytest.mark.parametrize("count", [1, 3, 25])
def test_few_images_give_a_finite_figure_or_a_reason(make_case, monkeypatch, name, count):
    case = make_case(sizes={"forget": count, "test_forget": count}, method=2.0, retrain=2.0, original=8.0)
    monkeypatch.setattr(type(case), "whole_classes", name == "classwise_spread")
    try:
        figure = planned(QUICK)[name].test.measure(case, "method")
    except NotEnough:
        return
    assert count == 25
    assert np.isfinite([figure.value, figure.error]).all()

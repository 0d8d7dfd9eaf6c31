"""Relearning counts steps."""

import copy

import torch
import torch.nn.functional as F

from dau_lightning.audit.measure.relearning import Relearning
from dau_lightning.data.order import Order


def relearning(**changes):
    return Relearning(**({"priority": 0, "meaning": "", "most_steps": 30, "batch_size": 12, "lr": 0.05, "orders": 2} | changes))


def test_a_model_that_knows_needs_no_step_and_one_that_cannot_learn_all(usual):
    test = relearning(lr=0.0, most_steps=4)
    known = usual.models["original"]
    optimizer = torch.optim.Adam(known.parameters(), 0.01)
    images = usual.training.transform.normalise(usual.part("forget").images)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(known(images)[0], usual.part("forget").targets).backward()
        optimizer.step()
    assert test.measure(usual, "original").value == 0
    assert test.measure(usual, "retrain").value == 4


def test_steps_are_those_of_a_plain_loop(usual):
    figure = relearning(most_steps=60).measure(usual, "method")
    target, forget = figure.details["target_accuracy"] / 100, usual.part("forget")
    images, found = usual.training.transform.normalise(forget.images), []
    for seed in range(2):
        model, order, steps = copy.deepcopy(usual.models["method"]), Order(120, 12, seed, "relearning"), 0
        optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4)
        while float((model.eval()(images)[0].argmax(1) == forget.targets).double().mean()) < target:
            at = order.batch(steps)
            optimizer.zero_grad()
            F.cross_entropy(model.train()(images[at])[0], forget.targets[at]).backward()
            optimizer.step()
            steps += 1
        found.append(steps)
    assert 0 < min(found) <= max(found) < 60
    assert figure.value == sum(found) / 2
    assert figure.error == abs(found[0] - found[1]) / 2


def test_the_models_of_the_run_do_not_change(usual):
    before = copy.deepcopy(usual.models["method"].state_dict())
    relearning(most_steps=3).measure(usual, "method")
    assert all(torch.equal(before[name], tensor) for name, tensor in usual.models["method"].state_dict().items())

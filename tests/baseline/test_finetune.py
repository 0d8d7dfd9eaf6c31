from typing import Any

import torch
from torch.nn.utils import parameters_to_vector

from dau_lightning.baseline.finetune import FineTune


def test_sees_the_retain_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(FineTune) == dict.fromkeys(range(36), 2)  # two epochs


def test_goes_on_from_the_weights_it_is_given(tiny: Any) -> None:
    module = tiny.module(FineTune, lr=1e-6)
    before = parameters_to_vector(module.defender.parameters()).detach()
    tiny.fit(module)
    assert 0 < (parameters_to_vector(module.defender.parameters()) - before).abs().max() < 1e-4


def test_learns_the_retain_set(tiny: Any) -> None:
    module = tiny.module(FineTune, epochs=20)
    tiny.fit(module)
    retain = tiny.split().retain
    logits = module.defender.eval()(tiny.transform.normalise(retain.images))[0]
    assert torch.equal(logits.argmax(1), retain.targets)

"""The linear probe on features of which the answer is known."""

import pytest
import torch

from dau_lightning.audit.case import Outputs
from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.linear_probe import LinearProbe

PROBE = LinearProbe(priority=0, meaning="", most=200)


def test_separate_features_give_100_and_noise_gives_chance(usual):
    for part in ("retain", "forget"):
        targets = usual.part(part).targets
        draws = torch.Generator().manual_seed(len(targets))
        usual.known["original", part] = Outputs(torch.zeros(len(targets), 3), 5 * torch.eye(3)[targets])
        usual.known["retrain", part] = Outputs(torch.zeros(len(targets), 3), torch.randn(len(targets), 2, generator=draws))
    known, chance = (PROBE.measure(usual, kind) for kind in ("original", "retrain"))
    assert known.value == 100
    assert known.error == 0
    assert chance.value == pytest.approx(100 / 3, abs=3 * chance.error)
    assert chance.error == pytest.approx(100 * (1 / 3 * 2 / 3 / 60) ** 0.5, rel=0.2)


def test_it_needs_forgotten_images(make_case):
    case = make_case(sizes={"forget": 30}, method=2.0)
    with pytest.raises(NotEnough, match=r"15 images in half of the forget set, .* it needs 20: forget more images"):
        PROBE.measure(case, "method")

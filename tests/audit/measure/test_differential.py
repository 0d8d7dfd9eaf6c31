"""The differential attack finds a change that neither model shows by itself."""

import numpy as np
import pytest
import torch

from dau_lightning.audit.case import Outputs
from dau_lightning.audit.figure import Figure
from dau_lightning.audit.measure.differential import Differential

TEST = Differential(priority=0, meaning="")


def with_margins(case, kind, part, margins):
    """Outputs of three classes whose `phi` is the given one."""
    logits = torch.zeros(len(margins), 3)
    logits.scatter_(1, case.part(part).targets.unsqueeze(1), (margins + torch.tensor(2.0).log()).float().unsqueeze(1))
    case.known[kind, part] = Outputs(logits, logits)


def test_only_the_difference_gives_forgotten_images_away(usual):
    draws = torch.Generator().manual_seed(0)
    for part, change in (("forget", -3.0), ("unseen", 0.0)):
        before = 10 * torch.randn(len(usual.part(part)), generator=draws)
        with_margins(usual, "original", part, before)
        with_margins(usual, "method", part, before + change)
        assert usual.margins("original", part) == pytest.approx(before.double(), abs=1e-4)
    assert TEST.measure(usual, "method").value > 95
    assert TEST.measure(usual, "original").value == pytest.approx(50, abs=12)


def test_leaking_less_than_retrain_passes():
    assert TEST.passes(Figure(40, np.ones(1)), 60, 3)
    assert not TEST.passes(Figure(64, np.ones(1)), 60, 3)

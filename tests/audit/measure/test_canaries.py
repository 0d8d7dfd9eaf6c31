"""Every attack on forgotten images that a corruption changed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from dau_lightning.audit.measure.canaries import Canaries
from dau_lightning.audit.measure.ulira import ULiRA
from dau_lightning.audit.shadows import members, shadow_margins
from tests.audit.conftest import give_margins, shadowed

ULIRA = ULiRA(priority=0, meaning="")
TEST = Canaries(priority=0, meaning="", attacks={"ulira": ULIRA})


def test_only_canaries_are_remembered(usual):
    marked = torch.arange(120) < 20
    usual.split = replace(usual.split, forget=replace(usual.split.forget, corrupted=marked))
    case = shadowed(usual, 16, method=0.0)
    inside = members(case)
    give_margins(case, "method", shadow_margins(case, "method") + 5 * (inside & marked.numpy()), np.zeros((16, 240)))
    figure, scores = TEST.measure(case, "method"), ULIRA.shadow_scores(case, "method")
    assert figure.value > 95 > 70 > figure.details["ulira_all"]
    assert figure.value == pytest.approx(100 * roc_auc_score(inside[:, :20].ravel(), scores[:, :20].ravel()))


def test_without_canaries_it_is_left_out(usual):
    assert not TEST.applies(usual)
    for marked in (0, 1):
        usual.split = replace(usual.split, forget=replace(usual.split.forget, corrupted=torch.arange(120) < marked))
        assert TEST.applies(usual) == bool(marked)

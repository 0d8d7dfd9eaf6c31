"""Residual knowledge against a plain loop."""

import pytest
import torch

from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.measure.residual_knowledge import ResidualKnowledge

TEST = ResidualKnowledge(priority=0, meaning="", noise=0.03, draws=4, most=100)


def test_it_is_the_mean_ratio_of_hits(usual):
    forget, draws, noise = usual.part("forget"), usual.draws("noisy images"), usual.draws("noise")
    chosen = torch.randperm(120, generator=draws)[:100]
    hits = dict.fromkeys(("method", "retrain"), 0.0)
    for _ in range(4):
        pixels = forget.images[chosen] / 255 + 0.03 * torch.randn(100, 1, 4, 4, generator=noise)
        for kind in hits:
            network = usual.models[kind].network.eval()
            hits[kind] += (network((pixels - 0.5) / 0.25).argmax(1) == forget.targets[chosen]).double()
    known = hits["retrain"] > 0
    ratios = hits["method"][known] / hits["retrain"][known]
    figure = TEST.measure(usual, "method")
    assert figure.value == pytest.approx(float(ratios.mean()))
    assert figure.error == pytest.approx(float(ratios.std()) / len(ratios) ** 0.5)
    assert figure.details == {"left_out": float((~known).sum())}
    assert TEST.measure(usual, "retrain").value == 1


def test_it_is_not_defined_for_whole_classes(usual, monkeypatch):
    assert TEST.applies(usual)
    monkeypatch.setattr(type(usual), "whole_classes", True)
    assert not TEST.applies(usual)


def test_images_on_which_retrain_is_right_may_be_few(make_case):
    with pytest.raises(NotEnough, match="forgotten images on which Retrain is ever right, it needs 20: forget more images"):
        TEST.measure(make_case(sizes={"forget": 12}, method=2.0, retrain=2.0), "method")

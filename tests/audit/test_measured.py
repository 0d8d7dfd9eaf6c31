"""Figures of Retrains and of the original are measured once for all runs of a split."""

from dataclasses import replace

import pytest

from dau_lightning.audit.measured import measured
from dau_lightning.audit.plan import planned
from dau_lightning.storage.store import Store


def test_a_figure_is_measured_once_and_the_methods_always(usual, tmp_path, monkeypatch):
    usual.training = replace(usual.training, store=Store(tmp_path))
    plan = planned([])["three_sample"]
    first = {kind: measured(usual, plan.test, plan.settings, kind) for kind in ("retrain", "original", "retrain 0", "method")}
    assert len(list(tmp_path.glob("figure-*.safetensors"))) == 3
    monkeypatch.setattr(type(plan.test), "measure", None)
    for kind in ("retrain", "original", "retrain 0"):
        again = measured(usual, plan.test, plan.settings, kind)
        assert (again.value, again.error, again.details) == (first[kind].value, first[kind].error, first[kind].details)
    with pytest.raises(TypeError, match="not callable"):
        measured(usual, plan.test, plan.settings, "method")
    for other in ({**plan.settings, "level": 0.1}, plan.settings):
        usual.split = replace(usual.split, split_hash=usual.split.split_hash + ("x" if other is plan.settings else ""))
        with pytest.raises(TypeError, match="not callable"):
            measured(usual, plan.test, other, "retrain")


def test_a_damaged_figure_is_measured_again(usual, tmp_path):
    usual.training = replace(usual.training, store=Store(tmp_path))
    plan = planned([])["linear_probe"]
    first = measured(usual, plan.test, plan.settings, "retrain")
    (stored,) = tmp_path.glob("figure-*.safetensors")
    stored.write_bytes(stored.read_bytes()[:-9])
    assert measured(usual, plan.test, plan.settings, "retrain").value == first.value
    assert (measured(usual, plan.test, plan.settings, "retrain").influence == first.influence).all()

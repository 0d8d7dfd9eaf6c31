"""Figures of Retrains and of the original are measured once for all runs of a split."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from dau_lightning.audit.figure import Figure
from dau_lightning.audit.figure_store import stored_figure
from dau_lightning.audit.plan import planned
from dau_lightning.storage.store import Store
from tests.audit.conftest import shadowed


def test_a_figure_is_measured_once(usual, tmp_path, monkeypatch):
    usual.training = replace(usual.training, store=Store(tmp_path))
    plan = planned([])["three_sample"]
    kinds = "retrain", "original", "retrain 0"
    first = {kind: stored_figure(usual, plan.test, plan.settings, kind) for kind in kinds}
    assert len(list(tmp_path.glob("figures/*.safetensors"))) == 3
    monkeypatch.setattr(type(plan.test), "measure", None)
    for kind in kinds:
        again = stored_figure(usual, plan.test, plan.settings, kind)
        assert (again.value, again.error, again.details) == (first[kind].value, first[kind].error, first[kind].details)
    with pytest.raises(TypeError, match="not callable"):
        stored_figure(usual, plan.test, plan.settings, "method")  # stands in audit.json
    for other in ({**plan.settings, "level": 0.1}, plan.settings):
        usual.split = replace(usual.split, split_hash=usual.split.split_hash + ("x" if other is plan.settings else ""))
        with pytest.raises(TypeError, match="not callable"):
            stored_figure(usual, plan.test, other, "retrain")


def test_audits_side_by_side_measure_it_once(usual, tmp_path, monkeypatch):
    usual.training = replace(usual.training, store=Store(tmp_path))
    plan, measured = planned([])["three_sample"], []

    def measure(*_) -> Figure:
        measured.append(time.sleep(0.2))
        return Figure(1.0, np.ones(1))

    monkeypatch.setattr(type(plan.test), "measure", measure)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: stored_figure(usual, plan.test, plan.settings, "retrain").value, range(4)))
    assert (found, len(measured)) == ([1.0] * 4, 1)


def test_a_damaged_figure_is_measured_again(usual, tmp_path):
    usual.training = replace(usual.training, store=Store(tmp_path))
    plan = planned([])["linear_probe"]
    first = stored_figure(usual, plan.test, plan.settings, "retrain")
    (stored,) = tmp_path.glob("figures/*.safetensors")
    stored.write_bytes(stored.read_bytes()[:-9])
    assert stored_figure(usual, plan.test, plan.settings, "retrain").value == first.value
    assert (stored_figure(usual, plan.test, plan.settings, "retrain").influence == first.influence).all()


def test_what_a_figure_depends_on_is_in_its_name(usual, tmp_path):
    usual.training, usual.shadows = replace(usual.training, store=Store(tmp_path)), 16
    case, plan = shadowed(usual, 16, method=1.0), planned([])["ulira"]
    for kind in ("retrain", "original", "method"):
        stored_figure(case, plan.test, plan.settings, kind)
    assert len(list(tmp_path.glob("figures/*.safetensors"))) == 2
    linear, features = planned([])["linear_probe"], {"features": "another layer"}
    stored_figure(case, linear.test, linear.settings, "retrain")
    network = replace_settings(usual.training, features)
    stored_figure(replace(case, training=network), linear.test, linear.settings, "retrain")
    assert len(list(tmp_path.glob("figures/*.safetensors"))) == 4


def replace_settings(training, changes):
    return replace(training, network=training.network._replace(settings={**training.network.settings, **changes}))

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from dau_lightning.data import loader
from dau_lightning.evaluation.metrics_callback import Measure, MetricsCallback

NAN, INF = float("nan"), float("inf")


class Diary(Metric):
    """Keeps what an attack is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[tuple[str, Tensor, Tensor]] = []

    def update(self, role: str, logits: Tensor, targets: Tensor) -> None:
        self.fed.append((role, logits, targets))

    def compute(self) -> float:
        return float(len(self.fed))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "EVALUATION_BATCH_SIZE", 7)  # 36 = 5 * 7 + 1, 12 = 7 + 5


PARTS = ("retain", "forget", "val", "test_retain")


@pytest.mark.usefixtures("small_batches")
def test_evaluation_counts_every_sample_of_every_part_once(tiny: Any) -> None:
    module, split, right = tiny.module(), tiny.split(), {"retain": 35, "forget": 5, "val": 0, "test_retain": 17}
    module.eval()
    parts, expected = {}, {}
    for name, count in right.items():  # labels of which the network has as many right, the wrong ones at the end
        part = getattr(split, name)
        with torch.no_grad():
            predicted = module.defender.network(tiny.transform.normalise(part.images)).numpy().argmax(1)
        targets = np.where(np.arange(len(part)) < count, predicted, (predicted + 1) % 3)
        parts[name] = replace(part, targets=torch.from_numpy(targets))
        expected[name] = 100 * np.mean(targets == predicted)
    evaluation = MetricsCallback(PARTS, 3, {})
    tiny.test(module.train(), evaluation, parts=PARTS, split=replace(split, **parts))
    assert list(evaluation.accuracy()) == list(PARTS)
    assert evaluation.accuracy() == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx({"retain": 97.2222, "forget": 41.6667, "val": 0, "test_retain": 94.4444}, abs=1e-4)


@pytest.mark.usefixtures("small_batches")
def test_evaluation_feeds_each_role_from_its_part(tiny: Any) -> None:
    module, split, diary = tiny.module(), tiny.split(), Diary()
    roles = {"retain": "member", "test_retain": "nonmember", "forget": "forget"}
    evaluation = MetricsCallback(PARTS, 3, {"diary": Measure(diary, roles), "another": Measure(Diary(), roles)})
    tiny.test(module, evaluation, parts=PARTS)
    assert diary.fed == []  # each evaluation has metrics of its own
    assert evaluation.measured() == {"diary": 3, "another": 3}  # each part once, whole
    module.eval()
    for part, role in roles.items():
        batches = [(logits, targets) for name, logits, targets in evaluation.measures["diary"].metric.fed if name == role]
        logits, targets = (torch.cat(column) for column in zip(*batches, strict=True))
        assert torch.equal(targets, getattr(split, part).targets)
        with torch.no_grad():
            expected = module.defender.network(tiny.transform.normalise(getattr(split, part).images))
        torch.testing.assert_close(logits, expected)
    assert {role for role, _, _ in evaluation.measures["diary"].metric.fed} == set(roles.values())


def test_a_relabelled_part_counts_once_with_every_other_label(tiny: Any) -> None:
    measures = {"diary": Measure(Diary(), {"forget": "forget", "val": "nonmember"}, {"forget"})}
    evaluation = MetricsCallback(["forget", "val"], 3, measures)
    tiny.test(tiny.module(), evaluation, parts=["forget", "val"])
    split, fed = tiny.split(), evaluation.measures["diary"].metric.fed
    assert [role for role, _, _ in fed] == ["forget", "forget", "nonmember"]
    labels = torch.stack([split.forget.targets, fed[0][2], fed[1][2]]).sort(0).values
    assert (labels == torch.arange(3).unsqueeze(1)).all()
    assert torch.equal(fed[0][1], fed[1][1])
    assert torch.equal(fed[2][2], split.val.targets)


def test_evaluation_of_a_single_part(tiny: Any) -> None:
    evaluation = MetricsCallback(["forget"], 3, {})
    tiny.test(tiny.module(), evaluation, parts=["forget"])
    assert evaluation.accuracy().keys() == {"forget"}


def test_two_evaluations_share_a_test(tiny: Any) -> None:
    evaluations = [MetricsCallback(PARTS, 3, {"diary": Measure(Diary(), {part: "forget"})}) for part in ("forget", "val")]
    tiny.test(tiny.module(), *evaluations, parts=PARTS)
    split = tiny.split()
    for evaluation, part in zip(evaluations, (split.forget, split.val), strict=True):
        ((role, _, targets),) = evaluation.measures["diary"].metric.fed
        assert role == "forget"
        assert torch.equal(targets, part.targets)

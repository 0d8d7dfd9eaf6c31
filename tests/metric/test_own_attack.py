"""An attack of the user's own in a real run."""

import json
from pathlib import Path

import pytest
import torchmetrics
from torch import Tensor

from dau_lightning.metric.svm_attack import Draws
from tests.tiny import TINY


class Undecided(torchmetrics.Metric):
    """An attack that decides nothing, so that its share is 0 of 0."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def update(self, role: str, logits: Tensor, targets: Tensor) -> None:
        """Look at nothing."""

    def compute(self) -> Draws:
        """No share."""
        return Draws(*[float("nan")] * 3, voided=9)


def test_the_attack_of_the_column_mia_must_give_a_share(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "metric.confidence._target_=tests.metric.test_own_attack.Undecided"
    with pytest.raises(SystemExit, match=r"error: metric\.confidence must give a finite share, the column MIA; got nan"):
        run(*TINY, "baseline=finetune", "baseline.epochs=1", "metric=[confidence]", own)


def test_an_attack_without_a_finite_share_costs_no_other_number(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "metric.entropy._target_=tests.metric.test_own_attack.Undecided"
    printed = run(*TINY, "baseline=finetune", "baseline.epochs=1", "metric=[confidence,entropy]", own)
    (file,) = Path("runs").rglob("result.json")
    row = json.loads(file.read_text())["rows"]["finetune"]
    assert row["attacks"] == {"confidence": row["MIA"], "entropy": None}
    assert "not finite: entropy" in row["flags"]
    assert "not finite: entropy" in " ".join(printed.split())

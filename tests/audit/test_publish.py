"""Where the findings of an audit are shown."""

import io
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from dau_lightning.audit.publish import log, publish, shown
from dau_lightning.report.read import Run
from dau_lightning.report.rows import rows_of
from dau_lightning.storage.audit_file import write_audit

pytestmark = pytest.mark.slow

FIGURES = {
    "method": {"value": 61.0, "error": 1.0, "balanced_accuracy": 88.0},
    "retrain": {"value": 50.5, "error": 1.0, "balanced_accuracy": 52.0},
    "original": {"value": 70.0, "error": 1.0},
}
RMIA = {
    "verdict": "fail",
    "why": "",
    "standard": 50.0,
    "noise": None,
    "tolerance": 2.8,
    "meaning": "AUC of RMIA",
    "figures": FIGURES,
}
KLOM = {"verdict": "not enough data", "why": "too few", "noise": None, "tolerance": None, "meaning": "nats", "figures": {}}
CONTENT = {"summary": "audit: 0 of 2 tests passed; failed: rmia", "weights": "w", "tests": {"rmia": RMIA, "klom": KLOM}}


def test_page_card_and_table_have_the_figures(run, tmp_path, monkeypatch):
    from tests.tiny import TINY, results

    monkeypatch.chdir(tmp_path)
    run(*[setting for setting in TINY if not setting.startswith("figures")], "baseline=finetune", "baseline.epochs=1")
    ((folder, result),) = results().items()
    assert "audit" not in (folder / "report.html").read_text()
    write_audit(folder, CONTENT)
    publish(Run(folder, result), CONTENT)
    page = (folder / "report.html").read_text()
    assert CONTENT["summary"] in page
    assert "<td>61.00</td>" in page
    assert "balanced accuracy: 88 (Retrain 52)." in page
    assert "Audit: 0 of 2 tests passed; failed: rmia" in (folder / "model_card.md").read_text()
    rows = rows_of([Run(folder, result)]).set_index("kind")
    assert rows.audit_rmia.to_dict() == {"finetune": 61.0, "retrain": 50.0, "original": 70.0}


def test_wandb_gets_a_table_and_the_pictures_of_the_audit():
    content, logged = io.BytesIO(), {}
    Image.new("L", (4, 4)).save(content, "png")
    files = {name: content.getvalue() for name in ("audit.png", "exposed.png", "roc.png")} | {"audit.svg": b""}
    log(SimpleNamespace(log=logged.update), CONTENT, files)
    assert {name for name in logged if name.startswith("figures/")} == {"figures/audit", "figures/exposed"}
    assert logged["verdicts"].columns == ["test", "unlearned", "Retrain", "original", "noise", "tolerance", "verdict", "why"]
    assert logged["verdicts"].data == [
        ["rmia", 61.0, 50.0, 70.0, None, 2.8, "fail", ""],
        ["klom", None, None, None, None, None, "not enough data", "too few"],
    ]
    assert logged["audit/failed"] == 1


def test_wandb_gets_every_figure_and_verdict():
    assert json.loads(json.dumps(shown(CONTENT))) == {
        "audit/summary": CONTENT["summary"],
        "audit/passed": 0,
        "audit/failed": 1,
        "audit/rmia/verdict": "fail",
        "audit/klom/verdict": "not enough data",
        "audit/rmia/method": 61.0,
        "audit/rmia/method/balanced_accuracy": 88.0,
        "audit/rmia/retrain/balanced_accuracy": 52.0,
        "audit/rmia/retrain": 50.0,
        "audit/rmia/original": 70.0,
    }

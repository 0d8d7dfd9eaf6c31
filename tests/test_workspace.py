import json
import socket
import sys

import pytest

from dau_lightning import workspace
from dau_lightning.base.error import InputError
from dau_lightning.report.columns import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of the library's own, while it is imported


def test_the_page_is_printed_without_network(monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it went online"))
    workspace.main(["--print", "--project", "tests"])
    page = json.loads(capsys.readouterr().out)
    assert page["project"] == "tests"
    sections = {section["name"]: section["panels"] for section in page["sections"]}
    audits = ["Verdicts of the audits", "Figures of the audits (Retrain's are right)", "Pictures of the audits"]
    assert list(sections) == [*workspace.BARS, "Trajectory of the unlearning", *audits, "Pictures", "Rows"]
    *counts, verdicts = sections[audits[0]]
    assert [panel["metrics"] for panel in counts] == [["audit/passed"], ["audit/failed"]]
    assert verdicts["table_name"] == "verdicts"
    figures = [metric for panel in sections[audits[1]] for metric in panel["metrics"]]
    assert {"audit/rmia/method", "audit/ulira/method", "audit/tow/method"} < set(figures)
    assert [panel["media_keys"] for panel in sections[audits[2]]] == [workspace.AUDIT_PICTURES]
    for name, metrics in workspace.BARS.items():
        assert [panel["metrics"] for panel in sections[name]] == [[metric] for metric in metrics]
    assert [panel["y"] for panel in sections["Trajectory of the unlearning"]] == [[name] for name in workspace.LINES]
    assert [panel["media_keys"] for panel in sections["Pictures"]] == [workspace.PICTURES]
    assert [panel["table_name"] for panel in sections["Rows"]] == ["rows"]
    runs = page["runset_settings"]
    assert [key["name"] for key in runs["groupby"]] == ["Group", "JobType"]
    assert [order["item"]["name"] for order in runs["order"]] == ["method/disparity.min"]


def test_every_number_of_a_table_has_a_bar():
    bars = {metric.removeprefix("method/").removesuffix(".min") for metrics in workspace.BARS.values() for metric in metrics}
    bars |= {f"gap_{name.removeprefix('gaps/')}" for name in bars if name.startswith("gaps/")} | {"MIA"}
    elsewhere = {"of_means", "disparity_of_means", "speed_up", "zeros"}  # over seeds, or a rewording of another one
    shown = {name for name in COLUMNS if not name.startswith(("paper_", "score_", "judge_"))}
    assert shown - elsewhere - bars == set()


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(InputError, match=r"needs the extra workspace: pip install --editable '\.\[workspace\]'"):
        workspace.main(["--print"])


def test_without_an_entity_nothing_is_saved(monkeypatch):
    monkeypatch.delenv("WANDB_ENTITY", raising=False)
    with pytest.raises(InputError, match="--entity must name the user or team"):
        workspace.main([])

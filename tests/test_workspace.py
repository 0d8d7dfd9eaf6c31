import json
import socket
import sys

import pytest

from dau_lightning import workspace
from dau_lightning.base.error import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of the library's own, while it is imported


def leaves(node):
    """All texts and numbers in a specification."""
    if isinstance(node, dict):
        return [leaf for child in node.values() for leaf in leaves(child)]
    return [leaf for child in node for leaf in leaves(child)] if isinstance(node, list) else [node]


def test_the_specification_is_printed_without_network(monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it went online"))
    workspace.main(["--print", "--project", "tests"])
    section = json.loads(capsys.readouterr().out)["section"]
    bank = section["panelBankConfig"]["sections"]
    assert [each["name"] for each in bank] == [*workspace.BARS, "The way of the unlearning", "Pictures", "AttackerInputs"]
    found = leaves(bank)
    for metric in [metric for metrics in workspace.BARS.values() for metric in metrics]:
        assert any(isinstance(leaf, str) and metric in leaf for leaf in found), metric
    for name in [*workspace.LINES, *workspace.PICTURES, "rows"]:
        assert any(isinstance(leaf, str) and name in leaf for leaf in found), name
    (runs,) = section["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["group", "jobType"]
    assert [key["key"]["name"] for key in runs["sort"]["keys"]] == ["method/disparity.min"]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(InputError, match=r"needs the extra workspace: pip install --editable '\.\[workspace\]'"):
        workspace.main(["--print"])


def test_without_an_entity_nothing_is_saved(monkeypatch):
    monkeypatch.delenv("WANDB_ENTITY", raising=False)
    with pytest.raises(InputError, match="--entity must name the user or team"):
        workspace.main([])

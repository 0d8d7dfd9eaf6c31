"""The table on the terminal."""

from dau_lightning.audit.table import print_audit

NAMES = "rmia", "residual_knowledge"


def test_names_of_tests_are_whole_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    figures = {kind: {"value": 12.345} for kind in ("method", "retrain", "original")}
    test = {"figures": figures, "noise": 0.1, "tolerance": None, "verdict": "not enough data", "why": "too few images"}
    print_audit({"tests": dict.fromkeys(NAMES, test), "summary": "audit: 0 of 2 tests passed"})
    lines = capsys.readouterr().out.splitlines()
    for name in NAMES:
        assert any(line.split() == [name, "12.3", "12.3", "12.3", "0.100", "-", "not", "enough", "data"] for line in lines)
        assert f"{name}: too few images" in lines
    assert lines[0].split() == ["test", "unlearned", "Retrain", "original", "noise", "tolerance", "verdict"]
    assert lines[-1] == "audit: 0 of 2 tests passed"

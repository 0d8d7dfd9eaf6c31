import os

import pytest

from dau_lightning.report.__main__ import main


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """The library without credentials, stopped afterwards."""
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home / name))
    wandb.teardown()
    yield wandb
    wandb.teardown()


def test_without_credentials_table_and_figure_are_kept_offline(write, tmp_path, wandb, monkeypatch, capsys):
    write()
    logged = []
    start = wandb.init

    def init(**options):
        run = start(**options)
        assert options["project"] == "tests"  # of the runs
        assert run.settings.mode == "offline"
        monkeypatch.setattr(run, "log", lambda values: logged.append(values), raising=False)
        monkeypatch.setattr(wandb, "log", run.log)
        return run

    monkeypatch.setattr(wandb, "init", init)
    main([str(tmp_path / "runs"), "--wandb"])
    ((table, picture),) = [tuple(values.values()) for values in logged]
    assert [row[table.columns.index("method")] for row in table.data] == ["Retrain", "Original", "DAU"]
    assert table.data[-1][table.columns.index("UA_mean")] == 3.0
    assert picture.width > 500
    assert list((tmp_path / "runs" / "wandb").glob("offline-run-*"))
    assert wandb.run is None
    assert "Retrain" in capsys.readouterr().out

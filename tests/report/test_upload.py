import json
import os

import pytest
from PIL import Image

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


def test_without_credentials_table_and_figure_are_kept_offline(write, tmp_path, wandb, capsys):
    write()
    main([str(tmp_path / "runs"), "--wandb"])
    assert wandb.run is None
    assert "Retrain" in capsys.readouterr().out
    (run,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    (table,) = (json.loads(path.read_text()) for path in run.glob("files/media/table/report*.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["method"] for row in rows] == ["Retrain", "Original", "DAU"]
    assert rows[-1]["UA_mean"] == 3.0
    (picture,) = run.glob("files/media/images/*.png")
    with Image.open(picture) as image:
        assert image.width > 500
    wandb.teardown()  # files are whole once its process is gone
    (log,) = run.glob("run-*.wandb")
    assert b"table-file" in log.read_bytes()
    assert b"image-file" in log.read_bytes()

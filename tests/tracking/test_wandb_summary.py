"""An offline run of the real entry point, read back."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dau_lightning.run.command_line import main
from dau_lightning.tracking.wandb_summary import flat_numbers, place
from tests.offline import without_credentials
from tests.tiny import TINY

pytestmark = pytest.mark.slow

NAMES = {"dataset": "digits", "network": "convnet", "scheme": "random", "sparsity": "dense", "baseline": "dau"}


def test_runs_that_may_be_compared_share_a_group_and_a_method_is_a_job_type():
    found = place(NAMES, {"seed": 3}, Path("runs/seed=3-0123abcd"))
    assert (found["group"], found["job_type"]) == ("digits convnet random dense", "dau")
    assert found["tags"] == ["digits", "convnet", "random", "dense", "dau", "seed 3"]
    assert found["name"] == "dau, digits, convnet, random, dense, seed=3-0123abcd"
    other = place(NAMES | {"baseline": "finetune"}, {"seed": 4}, Path("runs/seed=4-0123abcd"))
    assert (other["group"], other["job_type"]) == (found["group"], "finetune")


def test_another_network_list_or_request_is_another_group_within_the_limits_of_wandb(tmp_path):
    names = NAMES | {"network": "torchvision", "scheme": "indices"}
    (tmp_path / "forget.csv").write_text("path\ntrain/a/1.png\n")
    settings = {"seed": 0, "network": {"name": "resnet18"}, "scheme": {"file": str(tmp_path / "forget.csv"), "where": None}}
    changes = [
        {},
        {"network": {"name": "resnet50"}},
        {"continue_from": "runs/first"},
        {"scheme": settings["scheme"] | {"where": f"user in {list(range(99))}"}},
    ]
    found = [place(names, settings | change, Path("runs/x")) for change in changes]
    (tmp_path / "forget.csv").write_text("path\ntrain/a/2.png\n")
    (tmp_path / "forget.csv").touch()
    found.append(place(names, settings, Path("runs/x")))
    assert len({each["group"] for each in found}) == len(found)
    assert "torchvision resnet50" in found[1]["group"]
    assert found[2]["group"].endswith("forget.csv after first dense")
    assert all(len(each["group"]) <= 128 and max(map(len, each["tags"])) <= 64 for each in found)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, kept offline by a W&B without account, and all that its file holds."""
    import wandb

    folder = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patch:
        without_credentials(patch, folder)
        patch.chdir(folder)
        wandb.teardown()
        online = [setting for setting in TINY if not setting.startswith(("wandb", "figures", "dynamics"))]
        few = ["baseline=finetune", "baseline.epochs=1", "dynamics=2"]
        arguments = ["train.py", *few, *online]
        patch.setattr(sys, "argv", arguments)
        main()
        wandb.teardown()  # files are complete once its process has ended
    (path,) = folder.rglob("result.json")
    (log,) = path.parent.glob("wandb/offline-run-*/run-*.wandb")
    records = [json.loads(line) for line in inspected(log).splitlines()]
    logged = {}
    for record in records:
        logged |= record["history"]["item"] if record["type"] == "history" else {}
    found = {"summary": json.loads(inspected(log, "--summary"))["summary"], "records": records, "logged": logged}
    return SimpleNamespace(folder=path.parent, root=folder, arguments=arguments, result=json.loads(path.read_text()), **found)


def inspected(log, *options):
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def kept(run, kind):
    return [record[kind] for record in run.records if record["type"] == kind]


def test_every_number_of_the_rows_is_in_the_summary(run):
    rows = run.result["rows"]
    assert list(rows) == ["retrain", "original", "finetune"]
    expected = {f"row/{kind}/{name}": value for kind, row in rows.items() for name, value in flat_numbers(row).items()}
    for name, value in flat_numbers(rows["finetune"]).items():  # the lowest of distances and times
        lower = name in ("disparity", "AUC_gap", "seconds", "time_ratio") or name.startswith("gaps/")
        expected[f"method/{name}"] = {"min": value} if lower else value
    assert len(expected) > 60
    for name, value in expected.items():
        assert run.summary[name] == pytest.approx(value), name
    assert run.summary["method/flags"] == "; ".join(rows["finetune"].get("flags", []))


def test_the_run_has_its_name_group_and_tags(run):
    header, *_ = kept(run, "run")
    assert (header["run_group"], header["job_type"]) == ("digits convnet random dense", "finetune")
    assert header["tags"] == ["digits", "convnet", "random", "dense", "finetune", "seed 0"]
    assert header["display_name"] == f"finetune, digits, convnet, random, dense, {run.folder.name}"
    assert header["config"]["update"]["choices"]["baseline"] == "finetune"


def test_a_table_histograms_and_figures_are_sent(run):
    assert run.logged["rows._type"] == "table-file"
    (table,) = run.folder.glob("wandb/offline-run-*/files/media/table/rows*.json")
    content = json.loads(table.read_text())
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    assert [row["row"] for row in rows] == ["Retrain", "Original", "FT"]
    assert rows[2]["UA"] == run.result["rows"]["finetune"]["UA"]
    for model in run.result["rows"]:
        for part in ("retain", "forget", "test_retain", "val"):
            name = f"confidence/{model}/{part}"
            assert run.logged[f"{name}._type"] == "histogram"
            assert sum(run.logged[f"{name}.values"]) == run.result["counts"][part]
    for name in ("attacks", "dynamics", "confidence", "roc", "features", "sheet"):
        assert run.logged[f"figures/{name}._type"] == "image-file"


def test_the_weights_and_the_result_are_artifacts(run):
    found = {artifact["type"]: artifact for artifact in kept(run, "artifact")}
    assert set(found) >= {"model", "result"}
    for kind, file in (("model", "unlearned.safetensors"), ("result", "result.json")):
        (entry,) = found[kind]["manifest"]["contents"]
        assert entry["path"] == file
        assert Path(entry["local_path"]).read_bytes() == (run.folder / file).read_bytes()


def test_the_figures_and_the_page_are_in_the_run_folder(run):
    names = {path.stem for path in (run.folder / "figures").glob("*.svg")}
    assert names == {"attacks", "dynamics", "confidence", "roc", "features", "sheet"}
    page = (run.folder / "report.html").read_text()
    assert page.count("data:image/svg+xml") == len(names)
    assert "python train.py baseline=finetune" in page


def test_a_run_that_was_killed_while_it_drew_draws_when_it_is_started_again(run, monkeypatch):
    page = (run.folder / "report.html").read_text()
    (run.folder / "report.html").unlink()
    monkeypatch.chdir(run.root)
    monkeypatch.setattr(sys, "argv", run.arguments)
    main()
    assert (run.folder / "report.html").read_text() == page

"""The real command on real runs of tiny data."""

import json
import shutil
import sys
from pathlib import Path
from statistics import fmean, stdev

import pytest

from dau_lightning.audit import __main__ as command
from dau_lightning.audit.case import OTHER_RECIPE
from dau_lightning.base.error import InputError
from dau_lightning.run.command_line import main as train
from dau_lightning.storage.audit_file import read_audit
from tests.tiny import TINY, results

pytestmark = pytest.mark.slow

QUICK = ["fresh_attacker.epochs=1", "fresh_statistics.epochs=1", "residual_knowledge.draws=2", "relearning.most_steps=2"]
LARGER = ["dataset.train_limit=600", "dataset.test_limit=200", "scheme.fraction=0.3", "metric=[confidence]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A working directory in which a run is finished, for copies."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py", *TINY, *LARGER, "baseline=finetune", "baseline.epochs=1"])
        train()
    return folder


@pytest.fixture
def finished(made, tmp_path, monkeypatch) -> Path:
    """The folder of a finished run, in a working directory of its own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (folder,) = results()
    return folder


def content(folder: Path) -> dict:
    return json.loads((folder / "audit.json").read_text())


def test_the_command_audits_a_run_and_goes_on_where_it_was_left(finished, capsys, monkeypatch):
    command.main([str(finished), *QUICK, "minutes=0.0000001"])
    assert "the minutes were over" in capsys.readouterr().out
    assert all("minutes" in test["why"] for test in content(finished)["tests"].values())
    command.main(["runs", *QUICK])
    printed, first = capsys.readouterr().out, content(finished)
    assert first["summary"] in printed
    assert {"three_sample", "differential", "tow", "linear_probe", "relearning"} <= set(first["tests"])
    assert set(first["tests"]["tow"]["figures"]) == {"method", "retrain", "original"}
    assert first["tests"]["tow"]["figures"]["retrain"]["value"] == 1
    assert not {"classwise_spread", "canaries"} & set(first["tests"])  # they ask nothing about this run
    monkeypatch.setattr("dau_lightning.audit.measure.tow.ToW.measure", None)  # is not asked again
    command.main([str(finished), *QUICK])
    assert content(finished) == first
    command.main(
        [str(finished), *QUICK, "relearning.lr=0.05", "minutes=0.0000001"]
    )  # its old finding stays until there is a new one
    assert content(finished)["tests"]["relearning"]["figures"] == first["tests"]["relearning"]["figures"]
    assert content(finished)["tests"]["tow"] == first["tests"]["tow"]


def test_retrain_against_itself_and_further_retrains(run, finished):
    shutil.rmtree(finished)  # its original and Retrain stay in the store
    run(*TINY, *LARGER, "baseline=retrain")
    run(*TINY, *LARGER, "baseline=retrain_again")
    for folder, found in results().items():
        command.main([str(folder), *QUICK, "retrains=3"])
        tests = content(folder)["tests"]
        for name in ("tow", "linear_probe", "differential", "residual_knowledge"):
            figures = tests[name]["figures"]
            assert set(figures) == {"method", "retrain", "original", "retrain 0", "retrain 1", "retrain 2"}
            assert (figures["method"] == figures["retrain"]) == (found["baseline"] == "retrain")
            assert tests[name]["verdict"] != "fail"
            kinds = [kind for kind in figures if kind.startswith("retrain")][name in ("tow", "residual_knowledge") :]
            values = [figures[kind]["value"] for kind in kinds]
            assert tests[name]["standard"] == pytest.approx(fmean(values))
            assert tests[name]["noise"] == pytest.approx(stdev(values))
    assert len(list(Path("store").glob("reference-*.safetensors"))) == 3


def test_references_and_shadows_are_trained_once_for_all_methods(finished, run, monkeypatch):
    command.main([str(finished), *QUICK, "references=3", "shadows=8", "minutes=1e-7"])
    assert "minutes were over" in content(finished)["tests"]["ulira"]["why"]
    command.main([str(finished), *QUICK, "references=3", "shadows=8"])
    tests, stored = content(finished)["tests"], len(list(Path("store").glob("reference-*.safetensors")))
    assert stored == 3 + 8 + 8  # four of the Retrains beside the shadow models are the further Retrains
    assert set(tests["rmia"]["figures"]) == {"method", "retrain", "original", *(f"retrain {number}" for number in range(4))}
    assert set(tests["ulira"]["figures"]) == set(tests["klom"]["figures"]) == {"method", "retrain", "original"}
    assert tests["epsilon"]["why"] == "4 models of each kind, a verdict needs 64"
    assert tests["tow"]["noise"] > 0
    assert not (finished / "shadows").exists()
    run(*TINY, *LARGER, "baseline=original")
    run(*TINY, *LARGER, "baseline=retrain")
    monkeypatch.setattr("dau_lightning.training.training.Training.fit", None)  # nothing is left to train
    for folder, result in results().items():
        command.main([str(folder), *QUICK, "references=3", "shadows=8"])
        figures = content(folder)["tests"]["ulira"]["figures"]
        if result["baseline"] != "finetune":
            assert figures["method"] == figures[result["baseline"]]
        vulnerable = content(folder)["tests"]["vulnerable"]
        assert {"ulira", "rmia", "fresh_attacker", "differential_all"} <= set(vulnerable["figures"]["method"])
    command.main([str(finished), *QUICK])  # an earlier audit's references are used
    assert content(finished)["tests"] == tests


def test_a_forgotten_class(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(*TINY, *LARGER[:2], LARGER[3], "scheme=classwise", "baseline=finetune", "baseline.epochs=1")
    (folder,) = results()
    command.main([str(folder), *QUICK])
    tests = content(folder)["tests"]
    assert tests["classwise_spread"]["figures"]["retrain"]["value"] == 0
    assert tests["tow"]["figures"]["retrain"]["value"] == 1
    assert "residual_knowledge" not in tests


def test_canaries_with_wrong_labels(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    canaries = ["corruption=wrong_labels", "corruption.share=0.2", "scheme=corrupted"]
    run(*TINY, *LARGER[:2], LARGER[3], *canaries, "baseline=finetune", "baseline.epochs=1")
    (folder,) = results()
    command.main([str(folder), *QUICK, "references=2", "shadows=8"])
    tests = content(folder)["tests"]
    for name in ("differential", "fresh_attacker", "fresh_statistics"):
        assert "not for wrong labels" in tests[name]["why"]
    figures = tests["rmia"]["figures"]
    assert figures["retrain"]["value"] < 40  # no model guesses wrong labels that it never saw
    assert "should be 50" not in tests["rmia"]["why"]
    assert set(tests["canaries"]["figures"]) == {"method", "retrain", "original"}


def test_own_weights_are_compared_with_retrains_alone(finished, run):
    shutil.copy(finished / "unlearned.safetensors", "own.safetensors")
    own = ["original.checkpoint=own.safetensors", "val_from_test=0.5", "reference=train", "hydra.run.dir=runs/own"]
    run(*TINY, *LARGER, "baseline=finetune", "baseline.epochs=1", *own)
    command.main(["runs/own", *QUICK, "retrains=2"])
    tests = content(Path("runs/own"))["tests"]
    assert tests["tow"]["noise"] > 0
    for name in ("rmia", "ulira", "klom"):
        assert tests[name]["why"] == OTHER_RECIPE


def test_a_run_without_retrain_says_what_it_takes(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(*TINY, *LARGER, "baseline=finetune", "baseline.epochs=1", "reference=off")
    (folder,) = results()
    command.main([str(folder), *QUICK])
    assert all("retrains=4 trains it" in test["why"] for test in content(folder)["tests"].values())


def test_runs_that_cannot_be_audited(finished):
    def refused(words: str, *settings: str) -> None:
        with pytest.raises(InputError, match=words):
            command.main([str(finished), *settings])

    stored = next(Path("store").glob("retrain-*.safetensors"))
    stored.rename("elsewhere")
    refused("needs its Retrain, and store/retrain-.* is missing")
    Path("elsewhere").rename(stored)
    result = json.loads((finished / "result.json").read_text())
    del result["sha256"]

    def changed(**changes) -> None:
        (finished / "result.json").write_text(json.dumps(result | changes))

    retrain = result["rows"]["retrain"] | {"store": "store/retrain-0123.safetensors"}
    changed(rows=result["rows"] | {"retrain": retrain})
    refused(r"its Retrain has another recipe \(retrain-0123.safetensors, now retrain-")
    changed(split_hash="0")
    refused("has another split")
    changed(selection=True)
    refused("judged by the selection score")
    changed(dataset="python")
    refused("was made by unlearn")
    changed(start={"recipe": None})
    refused("references must be 0 .* trained by another recipe", "references=1")
    changed(start={"recipe": None}, rows={name: row for name, row in result["rows"].items() if name != "retrain"})
    refused("retrains must be 0 .* trained by another recipe", "retrains=1")
    changed()
    (finished / "unlearned.safetensors").write_bytes(b"damaged")
    refused("must hold the weights of the run")
    (finished / "unlearned.safetensors").unlink()
    refused("there are none")
    (finished / "result.json").unlink()
    refused("no finished run")
    assert not read_audit(finished, "")["tests"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_cannot_be_audited_does_not_stop_the_others(jobs, finished, tmp_path, capsys):
    other = tmp_path / "runs" / "another"
    other.mkdir()
    result = json.loads((finished / "result.json").read_text())
    del result["sha256"]
    (other / "result.json").write_text(json.dumps(result | {"dataset": "python"}))
    with pytest.raises(InputError, match="1 of 2 runs were not audited, for the reasons above"):
        command.main(["runs", *QUICK, "minutes=1e-7", f"jobs={jobs}"])
    assert "not audited: runs/another was made by unlearn()" in "".join(capsys.readouterr())
    assert "summary" in content(finished)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "references=many"], "references must be an integer"),
        (["runs", "references=5"], "references must be at most 4"),
        (["runs", "shadows=9"], "shadows must be 0 or an even number from 8"),
        (["runs", "shadows=6"], "shadows must be 0 or an even number from 8"),
        (["runs", "retrains=some"], "retrains must be an integer"),
        (["runs", "jobs=0"], "jobs must be at least 1"),
        (["runs", "minutes=soon"], "minutes must be a number"),
        (["runs", "minutes=0"], "minutes must be above 0"),
        (["references=1"], "name the folder of a finished run"),
        (["nowhere"], "no finished run"),
    ],
)
def test_mistakes_are_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        command.main(arguments)


def test_help_is_printed(capsys):
    command.main(["--help"])
    assert "python -m dau_lightning.audit RUN..." in capsys.readouterr().out

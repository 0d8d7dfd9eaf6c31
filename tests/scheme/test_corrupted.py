"""The scheme takes what the corruption marked, at the real entry point too."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.corrupted import Corrupted
from tests.tiny import TINY, results

pytestmark = pytest.mark.slow


def test_it_takes_the_marked_images(make_images: Callable[..., Images]) -> None:
    train = make_images(10)
    marked = replace(train, corrupted=torch.arange(len(train)) % 3 == 0)
    assert torch.equal(Corrupted(True)(marked, torch.Generator()), torch.arange(len(train)) % 3 == 0)


def test_marks_go_with_their_images(make_images: Callable[..., Images]) -> None:
    train = make_images(10)
    some = replace(train, corrupted=torch.arange(len(train)) % 3 == 0)[torch.tensor([3, 4, 6])]
    assert torch.equal(Corrupted(True)(some, torch.Generator()), torch.tensor([True, False, True]))


def test_nothing_is_marked_without_a_corruption(make_images: Callable[..., Images]) -> None:
    with pytest.raises(InputError, match="needs a corruption: add corruption=wrong_labels or backdoor, or choose"):
        Corrupted(True)(make_images(10), torch.Generator())


def test_a_run_forgets_the_wrong_labels(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(
        *TINY, "figures=true", "corruption=wrong_labels", "scheme=corrupted", "baseline=finetune", "baseline.epochs=1"
    )
    assert "request: 18 images" in printed
    assert "their labels are wrong" in printed
    ((folder, result),) = results().items()
    assert result["request"]["wrong_labels"] is True
    assert result["counts"]["forget"] == 18
    (line,) = (folder / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["request"]["wrong_labels"] is True
    assert "their labels" in (folder / "report.html").read_text()
    assert "The request says that the labels of these images are wrong" in (folder / "model_card.md").read_text()


@pytest.mark.parametrize("wrong", [True, False])
def test_the_score_wants_other_labels_only_where_the_request_says_so(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("".join(f"{place}\n" for place in range(40)))
    named = [
        "recipe.epochs=20",
        "scheme=indices",
        "scheme.file=list.txt",
        "scheme.by=position",
        f"scheme.wrong_labels={str(wrong).lower()}",
    ]
    run(*TINY, *named, "corruption=wrong_labels", "baseline=finetune", "baseline.epochs=1", "selection=true")
    (result,) = results().values()
    row = result["rows"]["finetune"]
    wanted = 100 - row["judge_error"] / 9 if wrong else row["judge_error"]
    assert row["score_UA"] == pytest.approx(abs(row["UA"] - wanted))
    assert row["score_MIA"] == pytest.approx(abs(row["MIA"] - row["judge_MIA"]))
    assert (row["judge_MIA"] > 60) is wrong  # the labels of unseen images too are wrong
    assert ("score_AUC" in row) is not wrong
    assert result["request"].get("wrong_labels", False) is wrong


def test_retrain_ranks_before_doing_nothing(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for baseline in ("retrain", "original"):
        run(*TINY, "recipe.epochs=20", "corruption=wrong_labels", "scheme=corrupted", f"baseline={baseline}", "selection=true")
    found = {result["baseline"]: result["rows"][result["baseline"]]["score"] for result in results().values()}
    assert found["retrain"] < found["original"]


def test_later_requests_have_the_same_target(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [*TINY, "corruption=wrong_labels", "baseline=finetune", "baseline.epochs=1"]
    run(*quick, "scheme=corrupted", "hydra.run.dir=first")
    with pytest.raises(SystemExit, match=r"scheme\.wrong_labels must be true: all requests have one target"):
        run(*quick, "scheme=random", "continue_from=first")


def test_given_weights_were_not_trained_on_the_corruption(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [*TINY, "baseline=finetune", "baseline.epochs=1"]
    run(*quick, "hydra.run.dir=first")
    given = ["original.checkpoint=first/unlearned.safetensors", "val_from_test=0.5"]
    with pytest.raises(SystemExit, match="leave it out, or use corruption=none"):
        run(*quick, *given, "scheme=corrupted", "corruption=wrong_labels")

"""Own lists, networks and weights through the real entry point, on a folder of small images."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import train
from dau_lightning import settings
from dau_lightning.error import one_line
from tests.tiny import TINY

LIST = ["scheme=indices", "scheme.file=forget.csv", "baseline=finetune", "baseline.epochs=1", *TINY]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command line in this process; gives what it printed."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        with one_line():
            settings.check(sys.argv[1:], train.CONF)
            train.main()
        return capsys.readouterr().out

    return call


def results() -> dict[Path, dict[str, Any]]:
    return {path.parent: json.loads(path.read_text()) for path in sorted(Path("runs").rglob("result.json"))}


def make_folder(root: Path, count: int, size: int = 8, parts: tuple[str, ...] = ("train", "test")) -> None:
    """Two classes that differ in brightness."""
    for part in parts:
        generator = torch.Generator().manual_seed(sum(part.encode()))
        for label, colour in (("cat", 60), ("dog", 180)):
            folder = root / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(colour - 60, colour + 60, (size, size, 3), generator=generator, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{index:02}.png")


def test_what_a_list_matched_is_printed_and_stored_and_another_list_is_another_run(run: Callable[..., str]) -> None:
    Path("forget.csv").write_text("index,user\n3,17\n5,17\n5,17\n9,18\n")
    printed = run(*LIST, "scheme.where='user == 17'", "reference=off")
    assert "request: 2 images" in printed or "held out" in printed
    ((folder, result),) = results().items()
    request = result["request"]
    assert (request["entries"], request["duplicates"], request["matched_by"]) == (3, 1, "position")
    assert request["count"] + request["held_out"] == 2
    assert sum(request["classes"].values()) == request["count"] == result["counts"]["forget"]
    assert result["files"]["scheme.file"]["name"] == "forget.csv"
    assert "finished before" in run(*LIST, "scheme.where='user == 17'", "reference=off")
    Path("forget.csv").write_text("index,user\n3,17\n5,17\n6,17\n9,18\n")
    run(*LIST, "scheme.where='user == 17'", "reference=off")
    assert len(results()) == 2
    assert results()[folder] == result


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("id\nnowhere\n", [], "1 of 1 do not: 'nowhere'"),
        ("id\n", [], "it names none"),
        ("id,user\n3,17\n", ["scheme.where='usr == 17'"], r"columns of the table \(id, user\), got 'usr'"),
        ("id,user\n3,17\n", ["scheme.where='user = 17'"], r"scheme\.where must be a condition"),
        ("id,user\n3,17\n", ["scheme.where='open(user)'"], r"call is not allowed"),
        ("id,user\n3,17\n", ["scheme.column=name"], r"scheme\.column must be"),
        ("", ["scheme.file=none.csv"], r"none\.csv"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line_and_writes_nothing(
    run: Callable[..., str], text: str, arguments: list[str], message: str
) -> None:
    Path("forget.csv").write_text(text)
    with pytest.raises(SystemExit, match=message) as raised:
        run(*LIST, *arguments)
    assert len(str(raised.value).splitlines()) == 1
    assert not results()
    assert not Path("store").exists() or not list(Path("store").glob("original-*"))

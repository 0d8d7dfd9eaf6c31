"""Own lists, networks and weights through the real entry point, on a folder of small images."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from dau_lightning.report.__main__ import main as report
from tests.own_network import Wide
from tests.tiny import TINY, results

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LIST = ["scheme=indices", "scheme.file=forget.csv", "baseline=finetune", "baseline.epochs=1", *TINY]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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


WEIGHTS = [
    *(
        "dataset=imagefolder",
        "dataset.root=own",
        "dataset.image_size=8",
        "network=own",
        "network._target_=tests.own_network.Wide",
    ),
    *(
        "scheme=indices",
        "scheme.file=forget.txt",
        "baseline=finetune",
        "baseline.epochs=1",
        "wandb.mode=disabled",
        "figures=false",
        "dynamics=0",
    ),
    *("trainer.accelerator=cpu", "original.checkpoint=own.pt", "reference=off"),
]


def trained(mean: list[float], std: list[float]) -> dict[str, torch.Tensor]:
    """The weights of a network that knows the two brightnesses."""
    torch.manual_seed(0)
    network, colours = Wide(2), torch.tensor([60, 180]) / 255
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(60):
        images = colours[:, None, None, None] + 0.1 * torch.randn(2, 3, 8, 8)
        optimizer.zero_grad()
        logits = network((images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
        optimizer.step()
    return network.state_dict()


@pytest.fixture
def own() -> Path:
    """A folder of images, a trained network's state dict, a list of files."""
    make_folder(Path("own"), count=12)
    torch.save(trained([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), "own.pt")
    Path("forget.txt").write_text("train/cat/01.png\ntrain/dog/05.png\ncat/03.png\ncat/03.png\n")
    return Path("own.pt")


def test_own_weights_are_judged_without_retrain_and_more_can_be_forgotten_later(run: Callable[..., str], own: Path) -> None:
    with pytest.raises(SystemExit, match=r"original\.checkpoint has seen all .* val_from_test=0\.5"):
        run(*WEIGHTS)
    assert not results()
    printed = run(*WEIGHTS, "val_from_test=0.5")
    assert "request: 3 images (class cat: 2, dog: 1); 4 entries of forget.txt by id; 1 named twice or more, merged" in printed
    assert "score: the selection score" in printed
    assert printed.index("warning: accuracy on D_v") < printed.index("FT: trained into")  # said while it can be stopped
    assert printed.rindex("warning: no Retrain (reference=off)") > printed.index("FT: trained into")
    again = run(*WEIGHTS, "val_from_test=0.5")
    assert "finished before" in again
    assert all(f"warning: {words}" in again for words in ("accuracy on D_v", "no Retrain"))
    ((first, result),) = results().items()
    assert result["counts"] == {
        **{
            "train": 24,
            "retain": 21,
            "forget": 3,
            "val": 6,
            "judge": 3,
            "judge_nonmembers": 3,
            "test_retain": 12,
            "test_forget": 0,
        },
    }
    assert list(result["rows"]) == ["original", "finetune"]
    assert "score" in result["rows"]["finetune"]
    assert {"TA", "attacks", "judge_error"} <= set(result["rows"]["finetune"])
    assert "disparity" not in result["rows"]["finetune"]
    assert any("seems to have been trained on D_v" in warning for warning in result["warnings"])
    before = torch.load(own, weights_only=True)
    card = (first / "model_card.md").read_text()
    assert all(text in card for text in ("forget.txt", result["split_hash"], result["data_hash"], "trained on D_v", "cat: 2"))

    Path("forget.txt").write_text("train/cat/03.png\ntrain/dog/07.png\n")
    more = [setting for setting in WEIGHTS if not setting.startswith("original")]
    printed = run(*more, "val_from_test=0.5", f"continue_from='{first}'")
    assert "request: 1 images (class dog: 1); 2 entries of forget.txt by id; 1 forgotten before" in printed
    assert "warning: accuracy on D_v" in printed  # which the first request found
    (second,) = set(results()) - {first}
    union = results()[second]
    assert union["counts"]["forget"] == 4
    assert union["warnings"][1:] == result["warnings"][1:]  # the first one counts the images
    assert [warnings[0].split()[1] for warnings in (result["warnings"], union["warnings"])] == ["3", "4"]
    assert union["start"]["RA"] == result["rows"]["original"]["RA"]
    assert "trained on D_v" in (second / "model_card.md").read_text()
    assert union["rows"]["original"]["UA"] == pytest.approx(sum_of_wrong(first, ("cat/01", "cat/03", "dog/05", "dog/07")))
    ledger = [json.loads(line) for line in (second / "ledger.jsonl").read_text().splitlines()]
    assert [entry["forgotten"] for entry in ledger] == [3, 4]
    assert all(any("trained on D_v" in warning for warning in entry["warnings"]) for entry in ledger)
    line = (first / "ledger.jsonl").read_text().splitlines()[0]
    assert ledger[1]["former"] == hashlib.sha256(line.encode()).hexdigest()
    assert ledger[1]["evidence"] == union["rows"]["finetune"]
    left = load_file(second / "unlearned.safetensors")
    assert any(not torch.equal(before[name], left[name]) for name in before)
    refused_when_edited(run, second, more)


def test_a_damaged_model_ends_with_code_3_and_complete_files(
    run: Callable[..., str], own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(trained([0.5] * 3, [0.25] * 3), own)
    given = [*WEIGHTS, "val_from_test=0.5", "transform.mean=[0.5,0.5,0.5]", "transform.std=[0.25,0.25,0.25]"]
    run(*given)
    assert "Passed: the accuracy" in next(Path("runs").rglob("model_card.md")).read_text()
    ascent = [setting for setting in given if not setting.startswith("baseline=")]
    with pytest.raises(SystemExit) as end:
        run(*ascent, "baseline=gradient_ascent", "baseline.lr=10", "baseline.epochs=5")
    assert end.value.code == 3
    assert "not passed: RA, the accuracy on the retained images, fell too far" in capsys.readouterr().err
    (folder,) = (folder for folder, result in results().items() if result["baseline"] == "gradient_ascent")
    assert (folder / "unlearned.safetensors").is_file()
    assert "**Not passed" in (folder / "model_card.md").read_text()


def test_a_retrain_of_another_recipe_is_warned_of_in_every_request(run: Callable[..., str], own: Path) -> None:
    settings = [each for each in WEIGHTS if not each.startswith(("original", "reference"))]
    run(*settings, "original.checkpoint=own.pt", "val_from_test=0.5", "reference=off", "hydra.run.dir=runs/own")
    run(*settings, "recipe.epochs=1", "hydra.run.dir=runs/here")
    Path("forget.txt").write_text("train/dog/07.png\n")
    warned = "the original was not"
    for number, (former, *more) in enumerate(
        (
            ("own", "val_from_test=0.5", "recipe.epochs=1"),
            ("here", "recipe.epochs=2"),
        )
    ):
        printed = run(*settings, f"continue_from=runs/{former}", *more, f"hydra.run.dir=runs/other{number}")
        assert printed.count(warned) == 2  # while it can be stopped, and at the end
    Path("forget.txt").write_text("train/dog/07.png\ntrain/dog/08.png\n")
    run(*settings, "recipe.epochs=1", "continue_from=runs/here", "hydra.run.dir=runs/same")
    Path("forget.txt").write_text("train/dog/09.png\n")
    run(*settings, "recipe.epochs=1", "continue_from=runs/same", "hydra.run.dir=runs/third")
    for same in ("same", "third"):
        assert not any(warned in warning for warning in results()[Path("runs") / same]["warnings"])


def test_a_run_does_not_write_over_the_one_that_it_continues(run: Callable[..., str], own: Path) -> None:
    run(*WEIGHTS, "val_from_test=0.5", "hydra.run.dir=runs/first")
    before = {path: path.read_bytes() for path in Path("runs/first").iterdir() if path.is_file() and path.suffix != ".lock"}
    more = [setting for setting in WEIGHTS if not setting.startswith("original")]
    with pytest.raises(SystemExit, match="continue_from must be another run than the one that is made"):
        run(*more, "val_from_test=0.5", "continue_from=runs/first", "hydra.run.dir=runs/first", "overwrite=true")
    assert all(path.read_bytes() == content for path, content in before.items())


def sum_of_wrong(folder: Path, names: tuple[str, ...]) -> float:
    """The error on some images of the weights in a folder, in percent, by hand."""
    network = Wide(2).eval()
    network.load_state_dict(load_file(folder / "unlearned.safetensors"))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    wrong = 0
    for name in names:
        with Image.open(Path("own/train") / f"{name}.png") as image:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        wrong += int(network(((pixels - mean) / std)[None]).argmax()) != ("cat", "dog").index(name[:3])
    return 100 * wrong / len(names)


def refused_when_edited(run: Callable[..., str], folder: Path, settings: list[str]) -> None:
    Path("forget.txt").write_text("train/dog/09.png\n")
    count = len(results())
    again = [*settings, "val_from_test=0.5", f"continue_from='{folder}'"]
    for name, old, new, message in (
        ("ledger.jsonl", '"forgotten": 3', '"forgotten": 2', "ledger.jsonl was edited before its entry 2"),
        ("ledger.jsonl", '"forgotten": 4', '"forgotten": 5', "the last entry of ledger.jsonl was edited"),
        ("ledger.jsonl", '{"entry": 1', "{'entry': 1", "entry 1 of ledger.jsonl is no entry"),
        ("forgotten.txt", "train/cat/01.png\n", "", "forgotten.txt is not the list"),
        ("ledger.jsonl", "cat", "\udce9", r"must be a run that forgot something, .* 'utf-8' codec"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8", errors="surrogateescape")
        with pytest.raises(SystemExit, match=message):
            run(*again)
        (folder / name).write_text(text)
    for change, message in (
        (["seed=1"], "seed must be 0, got 1"),
        (["val_from_test=0.25"], r"val_from_test must be 0\.5, got 0\.25"),
        (["continue_from=own"], "must be the folder of a finished run"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(*again, *change)
    assert len(results()) == count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: weights | {"head.weight": torch.zeros(3, 4)},
            r"'head\.weight' is \(3, 4\), not \(2, 4\).* must have the 3 classes",
        ),
        (
            lambda weights: {"fc.bias": torch.zeros(2)} | {k: v for k, v in weights.items() if k != "head.bias"},
            "'head.bias' missing, 'fc.bias' not of the network",
        ),
        (
            lambda weights: weights | {"head.bias": torch.tensor([float("nan"), 0])},
            r"must hold finite weights, some are not: head\.bias",
        ),
        (lambda weights: {"epoch": 3, "seconds": 1.0}, "must hold a state dict"),
        (lambda weights: Wide(2), "must hold a state dict"),
        (lambda weights: None, "it cannot be read"),
    ],
)
def test_a_checkpoint_of_another_network_is_one_line(run: Callable[..., str], own: Path, change: Any, message: str) -> None:
    changed = change(torch.load(own, weights_only=True))
    if changed is None:
        own.write_bytes(b"")
    else:
        torch.save(changed, own)
    with pytest.raises(SystemExit, match=message) as raised:
        run(*WEIGHTS, "val_from_test=0.5")
    assert len(str(raised.value).splitlines()) == 1
    assert not results()


GAME = ["baseline=dau_paper", "baseline.epochs=1", "baseline.pretraining_steps=2", "figures=true", "dynamics=1"]
GAME += [f"baseline.{part}_batch_size=4" for part in ("retain", "forget", "val", "pretraining")]


def test_two_requests_with_the_game_have_pictures_pages_and_tables_of_their_own(
    run: Callable[..., str], own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one is by a condition on a table, of a class and an image, one of whose names is no UTF-8."""
    strange = os.fsdecode(b"caf\xe9.png")
    Path("own/train/dog/11.png").rename(f"own/train/dog/{strange}")
    settings = [each for each in WEIGHTS if not each.startswith(("baseline", "figures", "dynamics", "original", "scheme.file"))]
    settings += [*GAME, "val_from_test=0.5"]
    run(*settings, "original.checkpoint=own.pt", "scheme.file=forget.txt", "hydra.run.dir=runs/first")
    rows = [f"cat/{index:02}.png,17" for index in range(12)] + [f"dog/{strange},17", "dog/02.png,18"]
    Path("more.csv").write_text("path,user\n" + "\n".join(rows), encoding="utf-8", errors="surrogateescape")
    more = ["scheme.file=more.csv", "scheme.where='user == 17'", "continue_from=runs/first", "hydra.run.dir=runs/second"]
    printed = run(*settings, *more)
    assert "(all of cat among them)" in printed
    assert "13 entries of more.csv where user == 17 by id" in printed
    found = results()
    first, second = found[Path("runs/first")], found[Path("runs/second")]
    assert second["request"]["where"] == "user == 17"
    assert second["forgotten_classes"] == ["cat"]
    row = second["rows"]["dau_paper"]  # 12 of 14 are of the emptied class
    assert row["score_UA"] == pytest.approx(abs(row["UA"] - (12 * 100 + 2 * row["judge_error"]) / 14))
    assert "`user == 17`" in Path("runs/second/model_card.md").read_text()
    for folder, result in found.items():
        names = {path.stem for path in (folder / "figures").glob("*.svg")}
        assert names == {"attacks", "dynamics", "confidence", "roc", "features", "sheet"}
        page = (folder / "report.html").read_text()
        assert page.count("data:image/svg+xml") == len(names)
        assert ">score" in page
        assert all(warning in unescape(page) for warning in result["warnings"])
    report(["runs", "--html", "sweep.html", "--format", "markdown"])
    tables = capsys.readouterr().out
    assert "own Wide, indices" in tables
    assert " forget.txt, dense; seed 0**" in tables
    assert " more.csv after first where user == 17, dense; seed 0**" in tables
    assert tables.count("| score |") == 2
    assert "no Retrain" in Path("sweep.html").read_text()
    assert first["split_hash"] != second["split_hash"]


def test_the_lines_of_the_card_load_the_weights_without_this_package(
    run: Callable[..., str], own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = [
        "network=torchvision",
        "network.name=mobilenet_v3_small",
        "dataset.image_size=32",
        "original.checkpoint=zoo.safetensors",
    ]
    network = torchvision.models.mobilenet_v3_small(num_classes=2)
    save_file(network.state_dict(), "zoo.safetensors")
    settings = [each for each in WEIGHTS if not each.startswith(("network", "original", "dataset.image"))]
    run(*settings, *zoo, "val_from_test=0.5")
    ((folder, result),) = results().items()
    lines = (folder / "model_card.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(lines.strip().splitlines()) == 5
    assert "dau_lightning" not in lines
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(lines, names)
    assert names["model"](torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert result["settings"]["transform"]["mean"] == [0.485, 0.456, 0.406]


def test_the_shell_takes_the_quotes_off_a_condition(own: Path) -> None:
    Path("table.csv").write_text("path,user_id\ntrain/cat/01.png,17\ntrain/dog/02.png,3\n")
    arguments = ["scheme=indices", "scheme.file=table.csv", "scheme.where=user_id == 17", "--cfg", "job"]
    done = subprocess.run([sys.executable, ROOT / "train.py", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "where: user_id == 17" in done.stdout

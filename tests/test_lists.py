"""Requests as people have them, typed at the real entry point; previews show what would be forgotten."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.run.test_preview import folder
from tests.tiny import results


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def shown(printed: str) -> list[str]:
    """The images in a preview."""
    return re.findall(r"^ +\d+  train/(\S+)  class", printed, re.M)


def npy(values: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.asarray(values))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "arguments"),
    [
        ("ls.txt", "own/train/cat/03.png\nown/train/dog/04.png\n", []),
        ("elsewhere.txt", "/data/own/train/cat/03.png\n/data/own/train/dog/04.png\n", []),
        ("excel.txt", "Bild\tpath\r\nä\tcat\\03.png\r\nö\tdog\\04.png\r\n".encode("utf-16"), []),
        ("excel.csv", "sep=;\r\nuser;image path\r\n17;cat/03.PNG\r\n17;dog/04.PNG\r\n", ["scheme.where=user == 17"]),
        ("forget_idx.npy", npy([24, 3]), ["scheme.by=position"]),
        ("mask.npy", npy(np.isin(np.arange(40), [3, 24])), []),
        ("forget.json", '["cat/03.png", "dog/04.png"]', []),
        ("na.csv", "path,country\ncat/03.png,NA\ndog/04.png,BE\ndog/05.png,NL\n", ['scheme.where=country in ["NA","BE"]']),
        ("ids.csv", "path,user\ncat/03.png,9007199254740993\ndog/04.png,\n", ["scheme.where=user != 9007199254740992"]),
        (
            "day.csv",
            "path,day\ncat/03.png,2024-01-05\ndog/04.png,2023-12-20\ncat/05.png,2024-06-10\n",
            ["scheme.where=day<'2024-02-01'"],
        ),
    ],
)
def test_a_request_names_what_its_author_means(
    run: Callable[..., str], name: str, content: str | bytes | Callable[[Path], None], arguments: list[str]
) -> None:
    settings = folder()
    if callable(content):
        content(Path(name))
    else:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    printed = run(*settings, f"scheme.file={name}", *arguments, "preview=true")
    assert sorted(shown(printed)) == ["cat/03.png", "dog/04.png"]
    assert not results()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            "image\n17\n",
            [],
            "'17' can be position 17, which is train/cat/17.png, or a name, as of train/cat/17.png and train/dog/17.png",
        ),
        ("0\n17\n", [], "the first line must be a header, but '0' in it is a number"),
        ("path,day\ncat/03.png,05.01.2024\n", ['scheme.where=day < "15.01.2024"'], "column day has '05.01.2024' in line 2"),
        (
            "path,age\ncat/03.png,30\ncat/04.png,unknown\n",
            ["scheme.where=age > 20"],
            "column age holds text ('unknown' in line 3)",
        ),
        ("path\ncat/03.png\n", ["scheme.by=name"], "scheme.by must be null or one of position, path, id, got 'name'"),
        (
            "id\n3.0\n\n24.0\n",
            [],
            "or a name, as of train/cat/03.png and train/dog/03.png: write scheme.by=",
        ),
    ],
)
def test_a_request_that_could_mean_another_image_is_refused(
    run: Callable[..., str], content: str, arguments: list[str], message: str
) -> None:
    Path("forget.csv").write_text(content)
    with pytest.raises(SystemExit) as end:
        run(*folder(), *arguments)
    assert message in str(end.value)
    assert len(str(end.value).splitlines()) == 1
    assert not results()


def test_position_5_is_that_of_imagefolder(run: Callable[..., str]) -> None:
    settings = folder()
    Image.new("RGB", (8, 8), (9, 200, 1)).save("own/train/cat/03b.gif")
    Path("forget.txt").write_text("5\n")
    printed = run(*settings, "scheme.file=forget.txt", "scheme.by=position", "preview=true")
    assert "positions count the 40 files that torchvision's ImageFolder lists in own/train" in printed
    assert shown(printed) == ["cat/05.png"]


def test_paths_and_names_need_no_quotes_but_the_shells(run: Callable[..., str]) -> None:
    settings = folder()
    Path("own/train/cat").rename("own/train/猫")
    Path("own/test/cat").rename("own/test/猫")
    Path("own").rename("Bilder größe [neu]")
    Path("own.pt").rename("my weights (final), 50%.pt")
    Path("forget.csv").write_text("path\n猫/03.png\n")
    given = ["dataset.root=~/Bilder größe [neu]", "original.checkpoint=my weights (final), 50%.pt"]
    assert shown(run(*settings, *given, "preview=true")) == ["猫/03.png"]
    named = [setting for setting in settings if not setting.startswith("scheme")]
    printed = run(*named, *given, "scheme=classwise", "scheme.target=猫", "scheme.fraction=0.1", "preview=true")
    assert [name.split("/")[0] for name in shown(printed)] == ["猫", "猫"]

"""What a preview shows, writes, and leaves alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.own_network import Wide
from tests.tiny import TINY, results


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def image(path: str, value: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def folder(count: int = 20) -> list[str]:
    """Two classes of training and test images, all different, and the settings of a run on them."""
    for label, name in enumerate(("cat", "dog")):
        for number in range(count):
            image(f"own/train/{name}/{number:02}.png", 100 * label + number)
            image(f"own/test/{name}/{number:02}.png", 1000 + 100 * label + number)
    import torch

    torch.save(Wide(2).state_dict(), "own.pt")
    settings = ["dataset=imagefolder", "dataset.root=own", "dataset.image_size=8", "network=own", "scheme=indices"]
    settings += ["network._target_=tests.own_network.Wide", "original.checkpoint=own.pt", "val_from_test=0.5", "reference=off"]
    settings += ["baseline=finetune", "baseline.epochs=1", "wandb.mode=disabled", "figures=false", "dynamics=0"]
    return [*settings, "trainer.accelerator=cpu", "scheme.file=forget.csv"]


def test_a_preview_lists_the_images_and_trains_nothing(run: Callable[..., str]) -> None:
    settings = folder()
    named = [f"dog/{number:02}.png" for number in range(14)]
    Path("forget.csv").write_text("\n".join(["path", *named, str(Path("own/train/cat/03.PNG").absolute())]) + "\n")
    printed = run(*settings, "preview=true")
    assert "request: 15 images (class dog: 14, cat: 1)" in printed
    assert "the first: train/dog/00.png, train/dog/01.png, train/dog/02.png" in printed
    lines = [line.split() for line in printed.splitlines() if line.lstrip()[:1].isdigit() and "class" in line]
    assert [line[0] for line in lines] == [str(number) for number in [*range(1, 11), 14, 15]]
    assert [line[1] for line in lines] == [f"train/{name}" for name in [*named[:10], named[13]]] + ["train/cat/03.png"]
    assert lines[0][2:4] == ["class", "dog"]
    assert "03.PNG' by path in another letter case" in printed
    assert "would train a few seconds on cpu" in printed
    assert "nothing was trained" in printed
    assert not results()
    assert not list(Path().rglob("*.safetensors")) or not list(Path("store").glob("original*"))
    (sheet,) = Path("runs").rglob("preview.png")
    assert [path for path in sheet.parent.iterdir()] == [sheet]
    pixels = np.asarray(Image.open(sheet))
    first = np.asarray(Image.open("own/train/dog/00.png"))
    assert (pixels[16 : 16 + 96 : 12, 16 : 16 + 96 : 12] == first).all()
    done = run(*settings)
    assert "finished before" not in done
    ((where, _),) = results().items()
    assert where == sheet.parent
    assert "nothing was trained" in run(*settings, "preview=true")  # of a finished run too


def test_any_scheme_and_a_sweep_have_previews(run: Callable[..., str]) -> None:
    printed = run("-m", *TINY, "scheme=random,classwise", "baseline=finetune", "preview=true")
    assert printed.count("nothing was trained") == 2
    assert "2 jobs: 2 finished" in printed
    assert "by the scheme" in printed
    assert "to validate" in printed
    assert not results()

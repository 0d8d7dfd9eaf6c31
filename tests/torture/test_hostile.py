"""Folders, clocks and amounts of data that nobody expects, and what they take of memory."""

import gc
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dau_lightning.dataset.imagefolder import imagefolder
from dau_lightning.evaluation.metrics_callback import Measure, MetricsCallback
from dau_lightning.metric.svm_attack import SVMAttack
from tests.tiny import TINY, results

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2**20
MEASURED = """
import resource, sys
import dau_lightning.run.experiment, wandb, matplotlib.pyplot, jinja2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.argv = ["train.py", *sys.argv[1:]]
from dau_lightning.run.command_line import main
main()
print("MiB beyond the imports:", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def picture(path: Path, seed: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def jumping(clock: Callable[[], float], seconds: float) -> Callable[[], float]:
    """A clock that is put forward and back by turns."""
    turns = itertools.cycle((-1, 1))
    return lambda: clock() + seconds * next(turns)


def ahead(clock: Callable[[], float], seconds: float) -> Callable[[], float]:
    """A clock that never goes back, and leaps with every look, as after a laptop's sleep."""
    looks = itertools.count()
    return lambda: clock() + seconds * next(looks)


def test_a_hundred_thousand_files_of_which_few_are_wanted(tmp_path: Path) -> None:
    for number in range(200):
        picture(tmp_path / "images" / f"{number}.png", number)
    for label in "ab":
        (tmp_path / "root/train" / label).mkdir(parents=True)
        picture(tmp_path / "root/test" / label / "0.png", 0)
        for number in range(50_000):
            os.link(tmp_path / "images" / f"{number % 200}.png", tmp_path / "root/train" / label / f"{number}.png")
    start = time.monotonic()
    data = imagefolder(str(tmp_path / "root"), 8, 3, train_limit=100, test_limit=None, seed=0, cache=str(tmp_path / "cache"))
    assert data.train.targets.bincount().tolist() == [50, 50]
    assert time.monotonic() - start < 30


def test_names_of_classes_that_are_hard_to_write(
    tmp_path: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["two words", "dots.., and ..dots", "Größe ☃", "a=b, [c]", 'quote\'s "end"', "-m", "100%", "$HOME"]
    for number, name in enumerate(names):
        for part, first, count in (("train", 0, 12), ("test", 50, 3)):
            for index in range(count):
                picture(tmp_path / "root" / part / name / f"{index}.png", 100 * number + first + index)
    monkeypatch.chdir(tmp_path)
    few = [each for each in TINY if "limit" not in each]
    quick = ["network=convnet", "dataset.image_size=8", "baseline=finetune", "baseline.epochs=1", "recipe.batch_size=16"]
    run(*few, "dataset=imagefolder", "dataset.root=root", *quick, "scheme=classwise", "scheme.target='Größe ☃'")
    ((folder, result),) = results().items()
    assert result["forgotten_classes"] == ["Größe ☃"]
    assert sorted(result["class_names"]) == sorted(names)
    assert "Größe ☃" in (folder / "model_card.md").read_text()


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    for name, jump in (("calm", 0.0), ("jumping", 1e6)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", jumping(time.time, jump))
            patch.setattr(time, "monotonic", ahead(time.monotonic, jump / 1e4))
            run("baseline=finetune", "baseline.epochs=1", *TINY)
        (result,) = results().values()
        numbers.append({kind: {**row, "seconds": 0, "time_ratio": 0} for kind, row in result["rows"].items()})
    assert numbers[0] == numbers[1]


def test_fifty_evaluations_take_no_memory(tiny: Any) -> None:
    module, sizes = tiny.module(), []
    roles = {"retain": "member", "test_retain": "nonmember", "forget": "forget"}
    for _ in range(60):
        tiny.test(
            module,
            MetricsCallback([*roles], 3, {"confidence": Measure(SVMAttack("confidence", seed=0), roles)}),
            parts=[*roles],
        )
        gc.collect()
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE)
    assert sizes[-1] - sizes[9] < 5, sizes


@pytest.mark.long
def test_sixty_thousand_images_stay_below_a_gigabyte_and_a_half(tmp_path: Path) -> None:
    for part, first, count in (("train", 0, 5000), ("test", 1000, 1000)):
        for label in range(10):
            for number in range(count):
                path = tmp_path / "root" / part / str(label) / f"{number}.png"
                if number < 20:
                    picture(path, first + 20 * label + number, size=32)
                else:
                    os.link(path.with_name(f"{number % 20}.png"), path)
    quick = [
        "recipe.epochs=1",
        "baseline.epochs=1",
        "baseline.pretraining_steps=20",
        "wandb.mode=disabled",
        "trainer.accelerator=cpu",
    ]
    arguments = ["dataset=imagefolder", "dataset.root=root", "network=convnet", "dataset.image_size=32", *quick]
    command = [sys.executable, "-c", MEASURED, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(next(tmp_path.rglob("result.json")).read_text())["counts"]["train"] == 45_000
    mebibytes = float(done.stdout.split("MiB beyond the imports:")[1])
    print(f"60,000 images: {mebibytes:.0f} MiB beyond the imports")
    assert mebibytes < 1536

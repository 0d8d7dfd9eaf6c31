"""Runs killed in every phase and started again end as if nothing had happened; `make torture` runs the long form.

python -m tests.torture.kill [quick]
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from dau_lightning.storage.seal import tensors_digest
from tests.torture.traced import TRAIN, Step, run

PHASES = "decoding", "retrain", "original", "pretraining", "unlearning", "evaluation", "record"
TIMES = {"seconds", "time_ratio", "store"}  # all that may differ


@dataclass(frozen=True)
class Form:
    """How much is done: seconds between checkpoints, pixels of an image file, steps, and kills a phase."""

    seconds: float
    pixels: int
    epochs: int
    pretraining_steps: int
    kills: int
    real_kills: int


FORMS = {"quick": Form(0.1, 64, 4, 20, 1, 1), "long": Form(1.0, 400, 30, 100, 5, 5)}


def make_images(root: Path, pixels: int) -> None:
    """500 digits to train on and 100 to test on, as large PNG files whose numbers are their places."""
    digits, targets = load_digits(return_X_y=True)
    order = np.lexsort((np.arange(600), targets[:600], np.arange(600) >= 500))
    for number, index in enumerate(order):
        path = root / ("train" if index < 500 else "test") / str(targets[index]) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((255 / 16 * digits[index].reshape(8, 8)).astype(np.uint8))
        image.resize((pixels, pixels), Image.Resampling.BICUBIC).convert("RGB").save(path)


def arguments(root: Path, form: Form) -> list[str]:
    """Of a run with all phases."""
    return [
        "dataset=imagefolder",
        f"dataset.root={root}",
        "dataset.image_size=8",
        "network=convnet",
        "baseline=dau_paper",
        f"recipe.epochs={form.epochs}",
        "recipe.batch_size=32",
        f"baseline.epochs={-(-form.epochs // 6)}",
        "baseline.retain_batch_size=32",
        "baseline.forget_batch_size=16",
        "baseline.val_batch_size=16",
        f"baseline.pretraining_steps={form.pretraining_steps}",
        "baseline.sensitivity.copies=1",
        "wandb.mode=disabled",
        "figures=false",  # outputs for figures are gathered anew when an evaluation was killed
        "dynamics=0",
        "trainer.accelerator=cpu",
    ]


def superseded(row: dict[str, str], later: Sequence[dict[str, str]]) -> bool:
    """Whether a later row has the same step and metrics with other values, which count (see `MetricsCSV`)."""

    def identity(row: dict[str, str]) -> tuple[str, set[str]]:
        return row["step"], {name for name, text in row.items() if text}

    return any(identity(other) == identity(row) and other != row for other in later)


def outcome(where: Path) -> dict[str, Any]:
    """All that a run left: weights as bytes, numbers, rows of the CSV."""
    (result,) = where.rglob("result.json")
    weights = {
        path.name: tensors_digest(load_file(path)) for path in sorted(where.rglob("*.safetensors")) if "images" not in path.name
    }
    rows = json.loads(result.read_text())["rows"]
    with open(result.parent / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    counting = [row for number, row in enumerate(lines) if not superseded(row, lines[number + 1 :])]
    timeless = [{name: text for name, text in row.items() if name.split("/")[-1] not in TIMES} for row in counting]
    names = [path.name for path in where.rglob("*")]
    left = sorted(name for name in names if name.endswith((".checkpoint", ".tmp", ".bad")))
    return {
        "weights": weights,
        "rows": {kind: {name: value for name, value in row.items() if name not in TIMES} for kind, row in rows.items()},
        "table": sorted(timeless, key=repr),  # a row that was measured again stands at the end
        "left": left,
    }


def difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """What is not the same, in words."""
    names = ", ".join(name for name in expected if expected[name] != found[name])
    return f"not the same: {names}" if names else ""


def repeated(killed: Sequence[Step], resumed: Sequence[Step], phase: str) -> float:
    """Seconds of the killed run's work in its last phase that the second one did again."""
    first = min((step.number for step in resumed if step.phase == phase), default=None)
    began = [step.time for step in killed if step.phase == phase and first is not None and step.number >= first]
    return killed[-1].time - min(began) if began else 0.0


def check_kill(where: Path, command: Sequence[str], form: Form, kill: tuple[str, int]) -> tuple[str, float]:
    """Kill a run and start it again.

    Returns:
        What is wrong, empty if nothing is, and the seconds of work that were done again.
    """
    where.mkdir()
    code, killed = run(where, command, form.seconds, kill)
    if code != -9 or (killed[-1].phase, killed[-1].number) != kill:
        return f"was not killed: exit code {code}", 0.0
    code, resumed = run(where, command, form.seconds)
    if code != 0:
        return f"the second start ended with {code}: {(where / 'output.txt').read_text()[-2000:]}", 0.0
    lost = repeated(killed, resumed, kill[0])
    finished = {step.phase for step in killed} - {kill[0], "start", "evaluation"}
    if again := {step.phase for step in resumed} & finished:
        return f"did finished phases again: {again}", lost
    steps = [sum(step.phase == "evaluation" for step in some) for some in (killed, resumed)]
    if kill[0] == "evaluation" and steps[1] != 9 - 3 * ((steps[0] - 1) // 3):  # three parts of the data for each of three rows
        return f"evaluated {steps[1]} parts again", lost
    gaps = [after.time - before.time for before, after in pairwise(killed)]
    if kill[0] in PHASES[:5] and lost > form.seconds + 2 * max(gaps[-1000:]):
        return f"did {lost:.2f} s of {kill[0]} again", lost
    return "", lost


def check_real_kill(where: Path, command: Sequence[str], form: Form, delay: float) -> str:
    """The same with the command as a user types it, killed from outside some seconds after its first file."""
    where.mkdir()
    full = [sys.executable, str(TRAIN), *command, f"checkpoint.seconds={form.seconds}"]
    process = subprocess.Popen(full, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(where.rglob("metrics.csv")) and process.poll() is None:  # what it imports takes 4 to 20 s
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    if process.wait() != -9:
        return "it was over before it could be killed"
    done = subprocess.run(full, cwd=where, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"the second start ended with {done.returncode}: {done.stderr[-2000:]}"


def main(form: Form) -> int:
    """Kill at steps spread over every phase."""
    with tempfile.TemporaryDirectory() as temporary:
        images, calm = Path(temporary) / "images", Path(temporary) / "calm"
        make_images(images, form.pixels)
        command = arguments(images, form)
        calm.mkdir()
        code, steps = run(calm, command, form.seconds)
        assert code == 0, (calm / "output.txt").read_text()
        expected, bad, same = outcome(calm), 0, "the same bytes and numbers"
        for phase in PHASES:
            numbers = [step.number for step in steps if step.phase == phase]
            length = sum(after.time - step.time for step, after in pairwise(steps) if step.phase == phase)
            print(f"{phase}: {len(numbers)} steps in {length:.1f} s", flush=True)
            count = 1 if phase == "record" else form.kills
            for kill in range(count):
                place = numbers[min(len(numbers) - 1, (2 * kill + 1) * len(numbers) // (2 * count))]
                where = Path(temporary) / f"{phase}-{kill}"
                wrong, lost = check_kill(where, command, form, (phase, place))
                wrong = wrong or difference(expected, outcome(where))
                bad += bool(wrong)
                again = f"; {lost:.2f} s done again" if phase in PHASES[:5] else ""
                print(f"  killed at {place}: {wrong or same + again}", flush=True)
        kills = 1 + form.kills * (len(PHASES) - 1) + form.real_kills
        for kill in range(form.real_kills):
            delay = (kill + 0.5) * (steps[-1].time - steps[0].time) / form.real_kills
            where = Path(temporary) / f"real-{kill}"
            wrong = check_real_kill(where, command, form, delay)
            wrong = wrong or difference(expected, outcome(where))
            bad += bool(wrong)
            print(f"python train.py, killed {delay:.1f} s after its imports: {wrong or same}", flush=True)
        print(f"{kills} kills, {kills - bad} runs continued to the same bytes; checkpoints every {form.seconds} s")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(FORMS[sys.argv[1] if len(sys.argv) > 1 else "long"]))

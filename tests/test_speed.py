"""Speed settings change no result beyond rounding: the same seeded steps with each of them on and off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

CONF = Path(__file__).parent.parent / "conf"
GAME = ["baseline=dau", "baseline.retain_batch_size=12", "baseline.forget_batch_size=6", "baseline.val_batch_size=6"]
GAME += ["baseline.pretraining_steps=3"]


class Record(L.Callback):
    """The retain images and the loss of every step."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        self.images.append(batch["retain"].images.clone())
        self.losses.append(float(outputs["loss"]))


def trained(tiny: Any, settings: Sequence[str], precision: str = "32-true", compiled: str | None = None) -> Record:
    """Twelve steps with what a run composes."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=["baseline.epochs=4", "baseline.lr=0.005", *settings])
    training, record = tiny.training(), Record()
    training.settings["trainer"]["precision"], training.settings["compile"] = precision, compiled
    split = tiny.split()
    training.fit(training.module(instantiate(config.baseline), split), split, tiny.folder / "checkpoint", {}, [record])
    assert len(record.losses) == len(set(record.losses)) == 12
    return record


def assert_alike(first: Record, second: Record, tolerance: float) -> None:
    assert all(map(torch.equal, first.images, second.images))
    size = max(map(abs, first.losses))  # the game's is a difference of terms, and may be about zero
    assert second.losses == pytest.approx(first.losses, rel=0, abs=tolerance * size)


def test_compiled_network(tiny: Any) -> None:  # of the game: benchmarks/, which has the time
    settings = ["baseline=finetune", "baseline.batch_size=12"]
    assert_alike(trained(tiny, settings), trained(tiny, settings, compiled="aot_eager"), 1e-5)


@pytest.mark.parametrize("gradient", ["true", "false"])
def test_noisy_copies_in_one_pass(tiny: Any, gradient: str) -> None:
    settings = [
        *GAME,
        "baseline.sensitivity.copies=3",
        f"baseline.sensitivity.gradient={gradient}",
        "baseline.batch_norm=running",
    ]
    one, two, all_of_them = (trained(tiny, [*settings, f"baseline.sensitivity.images_per_pass={n}"]) for n in (1, 24, 512))
    assert_alike(one, two, 1e-5)
    assert_alike(one, all_of_them, 1e-5)


def test_bfloat16(tiny: Any) -> None:
    settings = ["baseline=finetune", "baseline.batch_size=12"]
    assert_alike(trained(tiny, settings), trained(tiny, settings, precision="bf16-mixed"), 1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_the_device(tiny: Any) -> None:
    class Watched(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, index: int) -> None:
            torch.cuda.set_sync_debug_mode("error" if module.step % 50 else "default")

        def on_train_end(self, trainer: L.Trainer, module: Any) -> None:
            torch.cuda.set_sync_debug_mode("default")

    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=GAME)
    training, split = tiny.training(), tiny.split()
    training.settings["trainer"]["accelerator"] = "gpu"
    training.fit(training.module(instantiate(config.baseline), split), split, tiny.folder / "checkpoint", {}, [Watched()])

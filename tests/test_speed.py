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
from torch.utils._python_dispatch import TorchDispatchMode

from dau_lightning.metrics_csv import MetricsCSV

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


class Reads(TorchDispatchMode):
    """Counts what makes a GPU finish all that it was told: a number read from a tensor."""

    READS = torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in self.READS
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", [GAME, ["baseline=finetune", "baseline.batch_size=12"]], ids=["dau", "finetune"])
def test_only_a_logged_step_reads_a_number(tiny: Any, method: list[str]) -> None:
    class Watched(L.Callback):
        def __init__(self) -> None:
            self.reads: list[int] = []

        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
            self.mode = Reads()
            self.mode.__enter__()

        def on_train_batch_end(
            self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
        ) -> None:
            self.mode.__exit__(None, None, None)
            self.reads.append(self.mode.count)

    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=["baseline.epochs=4", *method])
    training, split, watched = tiny.training([MetricsCSV(tiny.folder / "metrics.csv")]), tiny.split(), Watched()
    training.fit(training.module(instantiate(config.baseline), split), split, tiny.folder / "checkpoint", {}, [watched])
    assert watched.reads[0] > 0  # the logged one
    assert watched.reads[1:] == [0] * 11

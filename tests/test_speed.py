"""Speed settings change no result beyond rounding: the same seeded steps with each of them on and off."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import lightning as L
import pytest
import torch
import torch._dynamo
from hydra.utils import instantiate
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from dau_lightning.sparsity.omp import OMP
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.training.trainer import TrainerSettings
from tests.composed import composed

pytestmark = pytest.mark.slow

GAME = ["baseline=dau_paper", "baseline.retain_batch_size=12", "baseline.forget_batch_size=6", "baseline.val_batch_size=6"]
GAME += ["baseline.pretraining_steps=3"]
FINETUNE = ["baseline=finetune", "baseline.batch_size=12"]


class Record(L.Callback):
    """The retain images and the loss of every step, and the types of the defender's logits wherever it is called."""

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self.images: list[Tensor] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        self.images.append(batch["retain"].images.clone())
        self.losses.append(float(outputs["loss"]))


def trained(tiny: Any, settings: Sequence[str], precision: str = "32-true", compiled: str | None = None) -> Record:
    """Twelve steps with what a run composes."""
    config = composed("baseline.epochs=4", "baseline.lr=0.005", *settings)
    training = tiny.training(trainer_settings=TrainerSettings("cpu", 1, precision), compile=compiled)
    record = Record()
    split = tiny.split()
    module = training.module(instantiate(config.baseline), split)
    if not compiled:  # which would take the hook in
        module.defender.register_forward_hook(lambda *called: record.dtypes.add(called[2][0].dtype))
    training.fit(module, split, tiny.folder / "checkpoint", {}, [record])
    assert len(record.losses) == len(set(record.losses)) == 12
    return record


def assert_alike(first: Record, second: Record, tolerance: float) -> None:
    assert all(map(torch.equal, first.images, second.images))
    size = max(map(abs, first.losses))  # the game's is a difference of terms, and may be about zero
    assert second.losses == pytest.approx(first.losses, rel=0, abs=tolerance * size)


@pytest.mark.parametrize("settings", [FINETUNE, [*GAME, "baseline/penalty=interpolated"]], ids=["finetune", "slope penalty"])
def test_compiled_network(tiny: Any, settings: list[str]) -> None:
    torch._dynamo.reset()
    counters.clear()
    plain = trained(tiny, settings)
    assert not counters["stats"]["unique_graphs"]
    compiled = trained(tiny, settings, compiled="aot_eager")
    assert counters["stats"]["unique_graphs"]
    assert not counters["graph_break"]
    assert_alike(plain, compiled, 1e-5)


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


# Adam's first steps are signs, whatever the gradient: at its usual rate an attacker takes other ones after each rounding.
@pytest.mark.parametrize("settings", [FINETUNE, [*GAME, "baseline.attacker_lr=3e-5"]], ids=["finetune", "dau"])
def test_bfloat16(tiny: Any, settings: list[str]) -> None:
    whole, short = (trained(tiny, settings, precision) for precision in ("32-true", "bf16-mixed"))
    assert whole.dtypes == {torch.float32}
    assert short.dtypes == {torch.bfloat16}  # before the game and after it, too, where Lightning leaves it to the method
    assert_alike(whole, short, 1e-2)


class Reads(TorchDispatchMode):
    """Counts what makes a GPU finish all that it was told: a number read from a tensor."""

    READS = torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in self.READS
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("amount", [0.0, 0.5])
@pytest.mark.parametrize("method", [[*GAME, "baseline.pretraining_steps=5"], FINETUNE], ids=["dau_paper", "finetune"])
def test_only_a_logged_step_reads_a_number(tiny: Any, method: list[str], amount: float) -> None:
    class Watched(L.Callback):
        def __init__(self) -> None:
            self.reads: list[int] = []
            self.before: list[int] = []  # a step of the attacker's pre-training

        def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
            self.mode = Reads()
            self.mode.__enter__()
            if hasattr(module, "attacker"):
                module.attacker.pretraining.before_step = lambda *_: self.before.append(self.mode.count)

        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
            self.start = self.mode.count

        def on_train_batch_end(
            self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
        ) -> None:
            self.reads.append(self.mode.count - self.start)

        def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            self.mode.__exit__(None, None, None)

    config = composed("baseline.epochs=4", *method)
    training, split, watched = tiny.training([MetricsCSV(tiny.folder / "metrics.csv")]), tiny.split(), Watched()
    module = training.module(instantiate(config.baseline), split)
    module.defender.set_mask(OMP(amount, 0)(module.defender.network) if amount else {})
    training.fit(module, split, tiny.folder / "checkpoint", {}, [watched])
    assert watched.reads[0] > 0  # the logged one
    assert watched.reads[1:] == [0] * 11
    if method[0] == "baseline=dau_paper":
        first, *others = (after - before for before, after in pairwise(watched.before))
        assert first > 0
        assert others == [0] * 3

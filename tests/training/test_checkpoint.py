"""A training that is killed at any step and started again ends bit-identical to one that was not."""

import io
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate

from dau_lightning.game.pretraining import Pretraining
from dau_lightning.sparsity.omp import OMP
from dau_lightning.training.checkpoint import SEAL, CheckpointWriter, SealedCheckpointIO
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.prune_at_epoch import PruneAtEpoch
from dau_lightning.training.sgd import SGDMethod
from tests.composed import composed
from tests.killing import Kill, Killed, equal, fit, killed_before_each_step


def dau(tiny: Any) -> UnlearningModule:
    """The game with everything that has a state: projector, terms, sensitivity."""
    parts = ["projector=mlp", "regulariser=vicreg", "term=[gradient_ascent,fisher_noise]"]
    node = composed("baseline=dau_paper", *(f"baseline/{part}" for part in parts)).baseline
    node.epochs, node.retain_batch_size, node.forget_batch_size, node.val_batch_size = 2, 12, 6, 6
    node.pretraining_steps, node.pretraining_batch_size, node.sensitivity.copies, node.projector.width = 4, 6, 1, 5
    torch.manual_seed(1)
    return instantiate(node)(defender=tiny.defender(), seed=0)


def descent(tiny: Any) -> UnlearningModule:
    return tiny.module(SGDMethod, epochs=3, schedule="one_cycle")


def single_steps(tiny: Any) -> UnlearningModule:
    return tiny.module(SGDMethod, epochs=4, batch_size=36)  # every step is the last of an epoch


@pytest.mark.parametrize(("make", "steps"), [(descent, 9), (single_steps, 4)])
def test_a_training_killed_at_any_step_ends_with_the_same_weights(
    tiny: Any, make: Callable[[Any], UnlearningModule], steps: int
) -> None:
    whole, watch = make(tiny), Kill(-1)
    expected = fit(tiny, whole, watch, seconds=60)
    assert watch.steps == list(range(steps))
    for step in range(steps):
        (tiny.folder / "it.checkpoint").unlink(missing_ok=True)
        with pytest.raises(Killed):
            fit(tiny, make(tiny), Kill(step))
        resumed, watch = make(tiny), Kill(-1)
        assert equal(fit(tiny, resumed, watch), expected)
        assert watch.steps == list(range(step, steps))  # nothing is done twice
        assert resumed.findings == whole.findings


def test_a_game_killed_before_each_step_ends_with_the_same_weights(tiny: Any) -> None:
    whole = dau(tiny)
    expected = fit(tiny, whole, seconds=60)
    assert killed_before_each_step(tiny, partial(dau, tiny), range(6), [5], expected).findings == whole.findings


def test_a_training_killed_before_each_step_of_its_pretraining_ends_with_the_same_weights(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dau(tiny)
    expected, done, before = fit(tiny, whole, seconds=60), list[int](), Pretraining.before_step

    def before_step(self: Any, module: Any, step: int) -> None:
        done.append(step)
        before(self, module, step)
        if done.count(step) == 1:
            raise Killed

    monkeypatch.setattr(Pretraining, "before_step", before_step)
    for _ in range(4):
        with pytest.raises(Killed):
            fit(tiny, dau(tiny))
    resumed = dau(tiny)
    assert equal(fit(tiny, resumed), expected)
    assert done == [0, 0, 1, 1, 2, 2, 3, 3]  # once before the kill, once after it
    assert resumed.findings == whole.findings


def test_a_training_killed_early_in_the_game_does_not_repeat_the_pretraining(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        fit(tiny, dau(tiny), Kill(1), seconds=60)
    monkeypatch.setattr(Pretraining, "before_step", lambda *_: pytest.fail("a finished phase was done again"))
    watch = Kill(-1)
    fit(tiny, dau(tiny), watch, seconds=60)
    assert watch.steps == list(range(6))  # within the interval the game itself is


@pytest.mark.parametrize("step", range(2, 8))
def test_a_training_killed_around_its_pruning_ends_with_the_same_weights(tiny: Any, step: int) -> None:
    mask = OMP(0.5, 0)(tiny.defender(seed=3).network)
    expected = fit(tiny, descent(tiny), PruneAtEpoch(mask, 1), seconds=60)
    with pytest.raises(Killed):
        fit(tiny, descent(tiny), PruneAtEpoch(mask, 1), Kill(step))
    assert equal(fit(tiny, descent(tiny), PruneAtEpoch(mask, 1)), expected)


def test_the_seconds_of_a_resumed_training_count_every_step_once(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Takes(SGDMethod):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            clock[0] += 1000.0
            return super().training_step(batch, batch_idx)

    clock = [0.0]
    monkeypatch.setattr("dau_lightning.training.clock.time.perf_counter", lambda: clock[0])
    path = tiny.folder / "it.checkpoint"
    with pytest.raises(Killed):
        tiny.training().fit(tiny.module(Takes), tiny.split(), path, {}, [Every(2), Kill(3)])
    clock[0] += 77.0
    assert tiny.training().fit(tiny.module(Takes), tiny.split(), path, {}) == 6000


class Every(L.Callback):
    """Lets the interval be over before one step only."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        (kept,) = (callback for callback in trainer.callbacks if isinstance(callback, CheckpointWriter))
        if pl_module.step == self.step:
            kept.written = float("-inf")
            kept.save_if_due(trainer)


def test_checkpoints_are_written_at_intervals(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], []
    monkeypatch.setattr("dau_lightning.training.checkpoint.time.monotonic", lambda: now[0])
    monkeypatch.setattr(L.Trainer, "save_checkpoint", lambda *_: written.append(now[0]))
    kept, trainer = CheckpointWriter(tiny.folder / "c", {}, 60), tiny.training().trainer([])
    for now[0] in (0, 59.9, 60, 61, 119, 121, *[122] * 2000, 200):
        kept.save_if_due(trainer)
    assert written == [60, 121, 200]


def test_several_devices_ask_for_the_clock_every_few_steps(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written, asked = [0.0], [], []
    monkeypatch.setattr("dau_lightning.training.checkpoint.time.monotonic", lambda: now[0])
    monkeypatch.setattr(L.Trainer, "save_checkpoint", lambda *_: written.append(now[0]))
    monkeypatch.setattr("dau_lightning.training.checkpoint.world_size", lambda: 2)
    monkeypatch.setattr("dau_lightning.training.checkpoint.broadcast", lambda value: (asked.append(now[0]), value)[1])
    kept, trainer = CheckpointWriter(tiny.folder / "c", {}, 60), tiny.training().trainer([])
    for step in range(1, 1001):
        now[0] = step / 10
        kept.save_if_due(trainer)
    assert len(asked) == 100
    assert written == [60]


# Files that cannot be used


def truncated(data: bytes) -> bytes:
    return data[:-10]


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def of_another(data: bytes) -> bytes:
    return SealedCheckpointIO({"who": "somebody else"})._seal(data[SEAL:]) + data[SEAL:]


def empty(data: bytes) -> bytes:
    return b""


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("spoil", [truncated, flipped, of_another, empty])
def test_a_checkpoint_that_cannot_be_used_is_set_aside(tiny: Any, spoil: Callable[[bytes], bytes]) -> None:
    expected, path = fit(tiny, descent(tiny), seconds=60), tiny.folder / "it.checkpoint"
    with pytest.raises(Killed):
        fit(tiny, descent(tiny), Kill(4))
    path.write_bytes(spoil(path.read_bytes()))
    spoiled, watch = path.read_bytes(), Kill(-1)
    with pytest.warns(UserWarning, match=r"it\.checkpoint cannot be used .* set aside as it\.checkpoint\.bad"):
        assert CheckpointWriter(path, {"who": "unlearned"}, 60).usable_path() is None
    assert equal(fit(tiny, descent(tiny), watch), expected)
    assert watch.steps == list(range(9))
    assert path.with_name(f"{path.name}.bad").read_bytes() == spoiled


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("save", [torch.save, partial(pickle.dump, protocol=2)])
def test_code_in_a_checkpoint_never_runs(tiny: Any, save: Callable[..., None], sealed: bool) -> None:
    kept, file, written = CheckpointWriter(tiny.folder / "it.checkpoint", {}, 60), io.BytesIO(), tiny.folder / "written"
    save({"loops": Bomb(written)}, file)
    seal = partial(kept.io._seal, file.getvalue()) if sealed else bytes
    kept.path.write_bytes(seal() + file.getvalue())
    with pytest.warns(UserWarning, match="cannot be used"):
        assert kept.usable_path() is None
    assert not written.exists()

"""What holds for every method in conf/baseline, made from its own yaml."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from dau_lightning import unlearn
from dau_lightning.network.defender import Defender
from dau_lightning.training.clock import Clock
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.progress_bar import TrainingBar
from tests.composed import choices, composed
from tests.killing import Kill, Killed, equal, fit

METHODS = choices("baseline")
FROM_SCRATCH = {"original", "retrain", "retrain_again"}
GAME = {"dau", "dau_paper"}  # tests/training/test_checkpoint.py kills it, with every part that has a state
QUICK = {"epochs": 1, "pretraining_steps": 2, "pretraining_batch_size": 6, "samples": 20}
STRONGER = {"ssd": {"alpha": 0.1, "dampening": 0.5}}  # by default they change no weight of an untrained network
DEEPER = {name: {"last_layers": 4} for name in ("cf_k", "eu_k")}  # all layers of the tiny network
TWO_EPOCHS = QUICK | {"epochs": 2, "batch_size": 18, "forget_batch_size": 9}


def make(name: str, tiny: Any, defender: Defender, changes: dict[str, Any] = QUICK) -> UnlearningModule:
    node = composed(f"baseline={name}").baseline
    changes = changes | STRONGER.get(name, {}) | DEEPER.get(name, {})
    kind = instantiate(OmegaConf.merge(node, {key: value for key, value in changes.items() if key in node}))
    return kind(defender=defender, seed=0, **(tiny.training().recipe if kind.func.from_scratch else {}))


def weights(defender: Defender) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in defender.network.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_it_keeps_its_mask_to_the_bit(name: str, tiny: Any) -> None:
    defender = tiny.defender()
    defender.mask = {name: torch.rand_like(weight) < 0.5 for name, weight in weights(defender).items() if weight.dim() == 4}
    defender.prune()
    before = weights(defender)
    tiny.fit(make(name, tiny, defender))
    after = weights(defender)
    assert len(defender.mask) == 3
    for layer, kept in defender.mask.items():
        assert not after[layer][~kept].any()
        assert not torch.equal(after[layer][kept], before[layer][kept])
    assert not torch.equal(after["6.weight"], before["6.weight"])  # what has no mask moves too


@pytest.mark.parametrize("name", METHODS)
def test_it_runs_under_the_callbacks_of_a_run_and_repeats_to_the_bit(name: str, tiny: Any, tmp_path: Path) -> None:
    found = []
    for noise in range(2):
        module, clock, bar = make(name, tiny, tiny.defender()), Clock(), TrainingBar("method")
        torch.manual_seed(noise)  # what ran before must not matter
        tiny.fit(module, clock, Guard("method", tmp_path / "last_good.safetensors"), bar)
        found.append(weights(module.defender))
        assert clock.seconds > 0
        assert bar.bar.finished
    assert all(torch.equal(found[0][layer], found[1][layer]) for layer in found[0])


@pytest.mark.parametrize("name", sorted({*METHODS} - GAME - FROM_SCRATCH))
def test_killed_at_any_step_it_ends_with_the_same_weights(name: str, tiny: Any) -> None:
    def module() -> UnlearningModule:
        return make(name, tiny, tiny.defender(), TWO_EPOCHS)

    whole, watch = module(), Kill(-1)
    expected = fit(tiny, whole, watch, seconds=60)
    for step in watch.steps:
        with pytest.raises(Killed):
            fit(tiny, module(), Kill(step))
        resumed, rest = module(), Kill(-1)
        assert equal(fit(tiny, resumed, rest), expected)
        assert rest.steps == [taken for taken in watch.steps if taken >= step]  # nothing is done twice
        assert resumed.findings == whole.findings


def own_model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(4, 2))


@pytest.mark.parametrize("name", sorted({*METHODS} - FROM_SCRATCH))
def test_it_unlearns_from_a_model_of_ones_own(name: str, tmp_path: Path) -> None:
    images = torch.randint(256, (48, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(48) % 2
    settings = composed(f"baseline={name}").baseline
    changes = QUICK | STRONGER.get(name, {})
    quick = [f"baseline.{key}={value}" for key, value in changes.items() if key in settings]
    done = unlearn(
        own_model(),
        (images[:24], labels[:24]),
        (images[24:], labels[24:]),
        [3, 5, 8, 9],
        val_from_test=0.5,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        method=name,
        folder=tmp_path / "run",
        settings=[*quick, "trainer.accelerator=cpu", "figures=false", "dynamics=0"],
    )
    before, after = own_model().state_dict(), done.model.state_dict()
    assert any(not torch.equal(before[layer], after[layer]) for layer in before)
    assert done.row["label"] == done.result["rows"][name]["label"]

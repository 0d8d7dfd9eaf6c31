"""What holds for every method in conf/baseline, made from its own yaml."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from dau_lightning.network.defender import Defender
from dau_lightning.training.clock import Clock
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.progress_bar import TrainingBar
from tests.composed import choices, composed

METHODS = choices("baseline")
QUICK = {"epochs": 1, "pretraining_steps": 2, "pretraining_batch_size": 6, "samples": 20}


def make(name: str, tiny: Any, defender: Defender) -> UnlearningModule:
    node = composed(f"baseline={name}").baseline
    kind = instantiate(OmegaConf.merge(node, {key: value for key, value in QUICK.items() if key in node}))
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

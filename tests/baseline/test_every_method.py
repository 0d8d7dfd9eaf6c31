"""What holds for every method in conf/baseline, made from its own yaml."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from dau_lightning import unlearn
from dau_lightning.data.split import make_split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Data
from dau_lightning.network.defender import Defender
from dau_lightning.training.clock import Clock
from dau_lightning.training.guard import Guard
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.progress_bar import TrainingBar
from tests.composed import choices, composed
from tests.killing import Kill, fit, killed_before_each_step
from tests.world import random_images

METHODS = choices("baseline")
FROM_SCRATCH = {"original", "retrain", "retrain_again"}
GAME = {"dau", "dau_paper"}  # tests/training/test_checkpoint.py kills it, with every part that has a state
# Settings that a test gives to those methods that have them: to be quick, to change something, to change every layer.
QUICK = {"epochs": 1, "pretraining_steps": 2, "pretraining_batch_size": 6, "samples": 20}
STRONGER = {"ssd": {"alpha": 0.1, "dampening": 0.5}}  # by default they change no weight of an untrained network
DEEPER = {name: {"last_layers": 4} for name in ("cf_k", "eu_k")}  # all layers of the tiny network
UNCHANGED = "{} does not change {} of a tiny network: if it needs other settings for that, list it in STRONGER or DEEPER"
TWO_EPOCHS = QUICK | {"epochs": 2, "batch_size": 18, "forget_batch_size": 9}


def make(name: str, tiny: Any, defender: Defender, changes: dict[str, Any] = QUICK) -> UnlearningModule:
    node = composed(f"baseline={name}").baseline
    changes = changes | STRONGER.get(name, {})
    kind = instantiate(OmegaConf.merge(node, {key: value for key, value in changes.items() if key in node}))
    return kind(defender=defender, seed=0, **(tiny.training().recipe if kind.func.from_scratch else {}))


def weights(defender: Defender) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in defender.network.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_it_repeats_to_the_bit_under_the_callbacks_of_a_run_and_keeps_its_mask(name: str, tiny: Any, tmp_path: Path) -> None:
    found = []
    for noise in range(2):
        defender, clock, bar = tiny.defender(), Clock(), TrainingBar("method")
        kernels = {layer: weight for layer, weight in weights(defender).items() if weight.dim() == 4}
        defender.set_mask({layer: torch.rand_like(weight) < 0.5 for layer, weight in kernels.items()})
        before, module = weights(defender), make(name, tiny, defender, QUICK | DEEPER.get(name, {}))
        torch.manual_seed(noise)  # what ran before must not matter
        tiny.fit(module, clock, Guard("method", tmp_path / "last_good.safetensors"), bar)
        found.append(after := weights(defender))
        assert clock.seconds > 0
        assert bar.bar.finished
        assert len(defender.mask) == 3
        for layer, kept in defender.mask.items():
            assert not after[layer][~kept].any()
            assert not torch.equal(after[layer][kept], before[layer][kept]), UNCHANGED.format(name, layer)
        assert not torch.equal(after["6.weight"], before["6.weight"]), UNCHANGED.format(name, "6.weight")  # it has no mask
    assert all(torch.equal(found[0][layer], found[1][layer]) for layer in found[0])


@pytest.mark.parametrize("name", sorted({*METHODS} - FROM_SCRATCH))
def test_running_statistics_move_where_the_setting_is_update(name: str, tiny: Any) -> None:
    """And in the games, whose setting is about forget and val images: retain images move them."""
    defender = tiny.defender()
    before = {layer: tensor.clone() for layer, tensor in defender.state_dict().items() if "running" in layer}
    tiny.fit(make(name, tiny, defender, QUICK | DEEPER.get(name, {})))
    moves = {"update": True, "batch": name in GAME, "running": False, None: False}
    expected = moves[composed(f"baseline={name}").baseline.get("batch_norm")]
    assert len(before) > 0
    assert all(torch.equal(tensor, defender.state_dict()[layer]) != expected for layer, tensor in before.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*METHODS} - GAME - FROM_SCRATCH))
def test_killed_before_each_step_it_ends_with_the_same_weights(name: str, tiny: Any) -> None:
    def module() -> UnlearningModule:
        return make(name, tiny, tiny.defender(), TWO_EPOCHS | DEEPER.get(name, {}))

    whole, watch = module(), Kill(-1)
    expected = fit(tiny, whole, watch, seconds=60)
    assert killed_before_each_step(tiny, module, watch.steps, watch.steps[-1:], expected).findings == whole.findings


def own_model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(4, 2))


@pytest.mark.parametrize("name", sorted({*METHODS} - FROM_SCRATCH))
def test_it_unlearns_a_network_of_ones_own(name: str, tiny: Any) -> None:
    """With the parts of a run that starts from given weights and is scored without a Retrain."""
    data = Data(*(random_images(12, 2, (3, 8, 8), part) for part in ("train", "test")))
    where = torch.isin(torch.arange(24), torch.tensor([3, 5, 18, 19]))
    split = make_split(data, lambda *_: where, 0, True, val_from_test=0.5, hold_out=False)
    transform = Transform(mean=(0.5,) * 3, std=(0.5,) * 3, crop_padding=0, flip=False)
    defender = Defender(own_model())
    defender.try_on(transform.normalise(split.train.images[:2]), 2)
    module = make(name, tiny, defender, QUICK | {"last_layers": 1})
    module.check(split)
    tiny.fit(module, split=split, transform=transform)
    before, after = own_model().state_dict(), defender.network.state_dict()
    assert any(not torch.equal(before[layer], after[layer]) for layer in before), UNCHANGED.format(name, "any layer")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*METHODS} - FROM_SCRATCH))
def test_python_unlearns_with_it(name: str, tmp_path: Path) -> None:
    train, test = (random_images(12, 2, (3, 8, 8), part) for part in ("train", "test"))
    changes, node = QUICK | STRONGER.get(name, {}), composed(f"baseline={name}").baseline
    quick = [f"baseline.{key}={value}" for key, value in changes.items() if key in node]
    done = unlearn(
        own_model(),
        (train.images, train.targets),
        (test.images, test.targets),
        [3, 5, 18, 19],
        val_from_test=0.5,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        method=name,
        folder=tmp_path / "run",
        settings=[*quick, "metric=[confidence]", "trainer.accelerator=cpu", "figures=false", "dynamics=0"],
    )
    before, after = own_model().state_dict(), done.model.state_dict()
    assert any(not torch.equal(before[layer], after[layer]) for layer in before)
    assert done.row["label"] == done.result["rows"][name]["label"]

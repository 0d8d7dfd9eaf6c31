from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from dau_lightning.baseline.gradient_ascent import GradientAscent

YAML = Path(__file__).resolve().parents[2] / "conf" / "baseline" / "gradient_ascent.yaml"


def running(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items() if "running" in name or "tracked" in name}


def test_sees_the_forget_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(GradientAscent) == dict.fromkeys(range(36, 48), 2)  # two epochs


def test_a_step_climbs_the_loss_of_the_forget_set(tiny: Any) -> None:
    module = tiny.module(GradientAscent, epochs=1, lr=0.01, weight_decay=0.0, batch_norm="running")
    images, targets = tiny.transform.normalise(tiny.split().forget.images), tiny.split().forget.targets
    reference = tiny.defender().eval()
    loss = -reference(images)[0].log_softmax(1)[torch.arange(12), targets].mean()
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    tiny.fit(module)  # one batch of 12
    for found, before, gradient in zip(module.defender.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(found, before + 0.01 * gradient)
    after = -module.defender.eval()(images)[0].log_softmax(1)[torch.arange(12), targets].mean()
    assert after > loss


@pytest.mark.parametrize(("mode", "moves"), [("running", False), ("batch", False), ("update", True)])
def test_running_statistics_take_in_the_forget_set_only_if_asked(tiny: Any, mode: str, moves: bool) -> None:
    module = tiny.module(GradientAscent, batch_norm=mode)
    before = running(module.defender)
    tiny.fit(module)
    assert all(torch.equal(before[name], tensor) is not moves for name, tensor in running(module.defender).items())


def test_by_default_they_stay() -> None:
    assert OmegaConf.load(YAML).batch_norm == "running"

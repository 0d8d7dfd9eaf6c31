from typing import Any

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.baseline.coun import CoUn
from dau_lightning.baseline.gradient_ascent import GradientAscent
from dau_lightning.baseline.random_label import RandomLabel
from dau_lightning.data.transform import Transform
from dau_lightning.game.extra_loss.contrastive import Contrastive
from dau_lightning.training.sgd import SGDMethod
from tests.composed import composed
from tests.one_step import assert_equal
from tests.world import Tiny

VIEWS = Transform(mean=(0.5,), std=(0.25,), crop_padding=1, flip=True)
SETTINGS = {"epochs": 2, "batch_norm": "batch"}


def term(weight: float = 0.5) -> dict[str, Contrastive]:
    return {"contrastive": Contrastive(weight, 0.2, None, None)}


@pytest.mark.parametrize("transform", [VIEWS, Tiny.transform])
def test_ft_with_the_term_is_coun(tiny: Any, transform: Transform) -> None:
    with_term = tiny.module(SGDMethod, **SETTINGS, term=term())
    coun = tiny.module(CoUn, **SETTINGS, contrastive_weight=0.5, temperature=0.2, view_padding=None, view_flip=None)
    tiny.fit(with_term, transform=transform)
    tiny.fit(coun, transform=transform)
    assert_equal(with_term.defender.parameters(), coun.defender.parameters())


def test_a_method_of_passes_has_it_in_those_over_the_retain_set(tiny: Any) -> None:
    calls: list[int] = []

    class Counted(Contrastive):
        def loss(self, module: Any, batch: Any, forget_logits: Any) -> Any:
            calls.append(module.step)
            second = module.second_view("retain")
            assert torch.equal(second.targets, batch["retain"].targets)
            assert not torch.equal(second.images, batch["retain"].images)
            return super().loss(module, batch, forget_logits)

    tiny.fit(tiny.module(RandomLabel, **SETTINGS, term={"contrastive": Counted(0.5, 0.2, None, None)}))
    assert calls == [1, 2, 3, 5, 6, 7]


def test_a_method_without_retain_images_is_told(tiny: Any) -> None:
    with pytest.raises(InputError, match=r"baseline/term=contrastive needs steps with retain images, GA has none"):
        tiny.module(GradientAscent, term=term()).check(tiny.split())


@pytest.mark.parametrize("name", ["finetune", "neggrad_plus", "salun", "scrub", "dau"])
def test_every_descent_takes_it_from_the_command_line(name: str) -> None:
    assert composed(f"baseline={name}", "baseline/term=[contrastive]").baseline.term.contrastive.weight == 1.0

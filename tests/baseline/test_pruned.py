"""Methods that change weights at the start, or choose weights, on a pruned network."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.baseline.eu_k import EUk
from dau_lightning.baseline.salun import SalUn
from dau_lightning.baseline.small_gradients import SmallGradients
from dau_lightning.baseline.transpose import Transpose
from dau_lightning.network.defender import Defender
from dau_lightning.training.weight_mask import with_parts


@pytest.fixture
def pruned(tiny: Any) -> Defender:
    defender = tiny.defender()
    draws = torch.Generator().manual_seed(5)
    kernels = {name: weight for name, weight in defender.network.named_parameters() if weight.dim() == 4}
    defender.set_mask({name: torch.rand(weight.shape, generator=draws) < 0.4 for name, weight in kernels.items()})
    return defender


def kernels(defender: Defender) -> list[tuple[nn.Parameter, Tensor]]:
    """Each kernel and its mask."""
    weights = dict(defender.network.named_parameters())
    return [(weights[name], kept) for name, kept in defender.mask.items()]


@pytest.mark.parametrize(
    ("method", "settings"),
    [(Transpose, {}), (SmallGradients, {"share": 0.3, "other_weight": 0.1}), (EUk, {"last_layers": 4})],
)
def test_the_first_step_sees_no_pruned_weight(tiny: Any, pruned: Defender, method: type, settings: dict[str, Any]) -> None:
    before, left = [weight.detach().clone() for weight, _ in kernels(pruned)], list[Tensor]()

    class Watched(method):
        def loss(self, batch: Any) -> Tensor:
            left.extend(weight.detach().clone() for weight, _ in kernels(pruned))
            return super().loss(batch)

    tiny.fit(tiny.module(Watched, **settings, defender=pruned))
    for (_, kept), start, first in zip(kernels(pruned), before, left[: len(before)], strict=True):
        assert not first[~kept].any()
        assert not torch.equal(first[kept], start[kept])


def test_salun_takes_its_share_from_the_weights_that_are_left(tiny: Any, pruned: Defender) -> None:
    module = tiny.module(SalUn, share=0.9, defender=pruned)
    tiny.fit(module)
    left = sum(weight.numel() for weight in pruned.parameters()) - sum(int((~kept).sum()) for _, kept in kernels(pruned))
    assert int(module.memory["moves"].sum()) == math.ceil(0.9 * left)


def test_msg_takes_its_share_from_the_weights_that_are_left(tiny: Any, pruned: Defender) -> None:
    module = tiny.module(SmallGradients, share=0.9, other_weight=0.1, defender=pruned)
    tiny.fit(module)
    masks = {id(weight): kept for weight, kept in kernels(pruned)}
    factors = [
        (factor, masks[id(weight)]) for weight, factor in with_parts(pruned, module.memory["factors"]) if id(weight) in masks
    ]
    assert len(factors) == 3
    for factor, kept in factors:
        assert int((factor == 1).sum()) == math.ceil(0.9 * int(kept.sum()))
        assert not (factor == 1)[~kept].any()

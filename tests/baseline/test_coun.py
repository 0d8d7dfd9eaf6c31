from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.baseline.coun import CoUn, info_nce
from dau_lightning.data.transform import Transform
from tests.one_step import FULL, assert_equal, cross_entropy, descended
from tests.world import Tiny

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"} | {"view_padding": None, "view_flip": None}
VIEWS = Transform(mean=(0.5,), std=(0.25,), crop_padding=1, flip=True)


def by_hand(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """The InfoNCE of both directions, a pair after another."""
    total = 0.0
    for one, other in ((first, second), (second, first)):
        for i in range(len(one)):
            cosines = [one[i] @ each / np.linalg.norm(one[i]) / np.linalg.norm(each) for each in other]
            total -= np.log(np.exp(cosines[i] / temperature) / sum(np.exp(cosine / temperature) for cosine in cosines))
    return total / len(first)


def test_the_loss_is_that_of_the_formula() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.normal(size=(2, 7, 5))
    for temperature in (0.1, 0.3, 1.0):
        found = info_nce(torch.from_numpy(first), torch.from_numpy(second), temperature)
        assert float(found) == pytest.approx(by_hand(first, second, temperature), rel=1e-10)


def test_the_loss_does_not_depend_on_the_precision_of_the_networks() -> None:
    first, second = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert (first @ second.T).dtype == torch.bfloat16
        found = info_nce(first, second, 0.05)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(by_hand(*(view.double().numpy() for view in (first, second)), 0.05), rel=1e-5)


@pytest.mark.parametrize("own", [VIEWS, Tiny.transform])  # with crops and flips, and without
def test_a_step_is_that_of_the_formula(tiny: Any, own: Transform) -> None:
    module, views = tiny.module(CoUn, **WHOLE, lr=0.1, contrastive_weight=0.5, temperature=0.2, batch_norm="batch"), []

    def keep(_: Any, inputs: tuple[Tensor, ...]) -> None:
        views.append(inputs[0])

    module.defender.network.register_forward_pre_hook(keep)
    batches: list[Any] = []
    module.on_train_batch_end = lambda _, batch, __: batches.append(batch["retain"])  # type: ignore[method-assign]
    tiny.fit(module, transform=own)
    targets = batches[0].targets
    assert len(views) == 2
    assert torch.equal(views[0], batches[0].images)
    assert float((views[0] != views[1]).flatten(1).any(1).float().mean()) > 0.8  # a view can be the image itself
    student = tiny.defender()

    def loss(_: Any) -> Tensor:
        (logits, first), (_, second) = student(views[0]), student(views[1])
        one, other = (each / each.norm(dim=1, keepdim=True) for each in (first, second))
        scores = (one @ other.T / 0.2).exp()
        pairs = scores.diagonal()
        contrastive = -(pairs / scores.sum(1)).log().mean() - (pairs / scores.sum(0)).log().mean()
        return cross_entropy(logits, targets) + 0.5 * contrastive

    assert_equal(module.defender.parameters(), descended(student, loss, 0.1))

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.game.attacker_input import AttackerInputs, Query
from dau_lightning.game.exact_critic import ExactCritic, quantiles
from dau_lightning.metric.auc import confidence_margin
from tests.whole_game import game, same, sensitivity, state

SETTINGS: dict[str, Any] = {
    "forget_batch_size": 8,
    "val_batch_size": 8,
    "stored_batches": 1,
    "power": 2,
    "largest": 100.0,
    "emptied_weight": 3.0,
}


def critic(num_classes: int = 3, **changes: Any) -> ExactCritic:
    return ExactCritic(num_classes, **(SETTINGS | changes))


def inputs(count: int, seed: int, scale: float = 3.0) -> tuple[Tensor, AttackerInputs]:
    """Logits that want a gradient, and what the attacker sees of them."""
    torch.manual_seed(seed)
    logits, targets = (scale * torch.randn(count, 3)).requires_grad_(), torch.randint(3, (count,))
    return logits, AttackerInputs(logits.softmax(1), torch.zeros(count, 3), targets)


def none(loss: Tensor) -> None:
    raise AssertionError("there is nothing to descend on")


@pytest.mark.parametrize("scale", [0.0, 1.0, 15.0])
def test_the_margin_is_exact_where_a_probability_rounds_to_one(scale: float) -> None:
    logits, seen = inputs(50, 0, scale)
    torch.testing.assert_close(seen.margin().double(), confidence_margin(logits, seen.targets), rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(seen.margin().sum(), logits)[0].isfinite().all()


@pytest.mark.parametrize(("known", "count"), [(8, 8), (32, 8), (5, 8), (1, 3), (16, 1)])
def test_quantiles_are_numpys_at_the_middle_of_each_share(known: int, count: int) -> None:
    values = torch.randn(known, generator=torch.Generator().manual_seed(known), dtype=torch.float64)
    found = quantiles(torch.cat([values, values.new_full((4,), torch.nan)]), torch.tensor(count), count + 2)
    expected = np.quantile(values.numpy(), (np.arange(count) + 0.5) / count, method="hazen")
    np.testing.assert_allclose(found[:count].numpy(), expected, rtol=1e-12)
    assert found[count:].isnan().all()


def test_power_one_is_the_wasserstein_distance() -> None:
    player = critic(power=1)
    (_, forget), (_, val) = inputs(8, 0), inputs(8, 1)
    expected = wasserstein_distance(forget.margin().detach().numpy(), val.margin().detach().numpy())
    assert float(-player.step(forget, val, none)) == pytest.approx(expected, rel=1e-5)
    assert player.loss(forget, val).item() == pytest.approx(expected, rel=1e-5)


def test_the_defender_lowers_the_squared_distance_by_its_forget_images_alone() -> None:
    player = critic()
    (logits, forget), (val_logits, val) = inputs(8, 0), inputs(8, 1)
    player.step(forget, val, none)
    loss = player.loss(forget, val)
    loss.backward()
    pairs = np.sort(forget.margin().detach().numpy()), np.sort(val.margin().detach().numpy())
    assert loss.item() == pytest.approx(float(((pairs[0] - pairs[1]) ** 2).mean()), rel=1e-5)
    assert val_logits.grad is None
    with torch.no_grad():
        moved = AttackerInputs((logits - 0.01 * logits.grad).softmax(1), *forget[1:])
    assert player.loss(moved, val) < loss


def test_a_difference_beyond_the_largest_has_no_slope() -> None:
    player = critic(largest=1e-3)
    (logits, forget), (_, val) = inputs(8, 0, 20.0), inputs(8, 1, 0.1)
    player.step(forget, val, none)
    loss = player.loss(forget, val)
    loss.backward()
    assert loss.item() == pytest.approx(1e-6)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_quantiles_come_from_the_last_val_batches() -> None:
    player = critic(stored_batches=2)
    (_, forget), *vals = inputs(8, 0), *(inputs(8, seed)[1] for seed in (1, 2, 3))
    for val in vals:
        player.step(forget, val, none)
    stored = torch.cat([val.margin() for val in vals[1:]]).detach()
    torch.testing.assert_close(player.stored.flatten(), stored)
    expected = np.quantile(stored.numpy(), (np.arange(8) + 0.5) / 8, method="hazen")
    found = ((np.sort(forget.margin().detach().numpy()) - expected) ** 2).mean()
    assert player.loss(forget, vals[-1]).item() == pytest.approx(found, rel=1e-5)


def test_one_image_is_pulled_as_hard_as_each_of_many() -> None:
    logits, forget = inputs(1, 0)
    many = AttackerInputs(*(column.expand(8, *column.shape[1:]) for column in forget))
    _, val = inputs(8, 1)
    same = AttackerInputs(*(column[:1].expand(8, *column.shape[1:]) for column in val))  # one quantile: the ranks do not matter
    player = critic()
    player.step(forget, same, none)
    single = torch.autograd.grad(player.loss(forget, same), logits, retain_graph=True)[0]
    together = torch.autograd.grad(player.loss(many, same), logits)[0]
    torch.testing.assert_close(8 * single, together)


def test_a_class_that_must_go_pays_for_its_probability() -> None:
    player = critic()
    player.emptied[1] = True
    (logits, forget), (_, val) = inputs(8, 0), inputs(8, 1)
    gone = forget.targets == 1
    assert 0 < gone.sum() < 8
    player.step(forget, val, none)
    stays = np.sort(forget.margin()[~gone].detach().numpy())
    expected = np.quantile(val.margin().detach().numpy(), (np.arange(len(stays)) + 0.5) / len(stays), method="hazen")
    p_y = forget.prediction.gather(1, forget.targets.unsqueeze(1)).squeeze(1)[gone].double()
    total = ((stays - expected) ** 2).sum() + (-3.0 * (1 - p_y).log().sum()).item()
    loss = player.loss(forget, val)
    assert loss.item() == pytest.approx(total / 8, rel=1e-4)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("retained", "emptied", "uses_val"), [([0, 1, 2], [], True), ([1, 1], [0], True), ([2], [0, 1], False)]
)
def test_classes_without_retain_images_must_go(retained: list[int], emptied: list[int], uses_val: bool) -> None:
    parts = {
        "forget": SimpleNamespace(targets=torch.tensor([0, 1, 0])),
        "retain": SimpleNamespace(targets=torch.tensor(retained)),
    }
    player = critic(4)  # nobody has an image of class 3
    data: Any = SimpleNamespace(part=parts.__getitem__, split=SimpleNamespace(wrong_labels=False))
    player.before_game(SimpleNamespace(data=data))  # type: ignore[arg-type]
    assert player.emptied.nonzero().flatten().tolist() == emptied
    assert player.uses_val is uses_val


def test_a_game_without_val_images_is_the_same_where_all_classes_must_go(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, split = Query._alone, tiny.split()
    for part in (split.forget, split.val):
        part.targets.fill_(2)
    split.retain.targets.clamp_(max=1)

    def played(**changes: Any) -> tuple[dict[str, Tensor], int]:
        passed = list[Batch]()
        monkeypatch.setattr(
            Query, "_alone", lambda query, defender, batch: passed.append(batch) or alone(query, defender, batch)
        )
        make = partial(critic, forget_batch_size=6, val_batch_size=6)
        settings = {"attacker": make, "joint_batch": "retain_forget", "sensitivity": sensitivity(copies=0)} | changes
        module = game(tiny.defender(), **settings)
        tiny.fit(module, split=split)
        return state(module.defender), len(passed)

    without, passes = played(regulariser_weight=0.0)
    assert passes == 3 * 2  # in each of three steps retain and forget images, apart
    assert played()[1] == 3 * 3  # the regulariser looks at val images
    monkeypatch.setattr(ExactCritic, "uses_val", property(lambda _: True, lambda *_: None))
    with_val, passes = played(regulariser_weight=0.0)
    assert passes == 3 * 3
    assert same(without, with_val)


def test_all_forget_samples_pay_where_labels_are_wrong(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = game(tiny.defender(), attacker=lambda num_classes: critic(num_classes, forget_batch_size=6, val_batch_size=6))
    monkeypatch.setattr(Split, "wrong_labels", True)
    tiny.fit(module)
    assert module.attacker.emptied.all()
    (logits, forget), (_, val) = inputs(6, 0), inputs(6, 1)
    p_y = forget.prediction.gather(1, forget.targets.unsqueeze(1)).double()
    assert module.attacker.loss(forget, val).item() == pytest.approx((-3.0 * (1 - p_y).log()).mean().item(), rel=1e-4)
    (gradient,) = torch.autograd.grad(module.attacker.loss(forget, val), logits)
    assert gradient.isfinite().all()

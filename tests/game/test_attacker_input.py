import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.data.loader import Batch
from dau_lightning.game.attacker_input import AttackerInputs, Query, join
from dau_lightning.network.defender import Defender
from tests.whole_game import game, sensitivity


def inputs(count: int) -> AttackerInputs:
    numbers = torch.arange(3.0 * count).view(count, 3)
    return AttackerInputs(numbers, -numbers, torch.arange(count) % 3)


def same(first: AttackerInputs, second: AttackerInputs) -> bool:
    return all(torch.equal(*columns) for columns in zip(first, second, strict=True))


def test_inputs_are_indexed_and_joined() -> None:
    whole = inputs(7)
    parts = whole.at(slice(0, 3)), whole.at(torch.tensor([3, 4, 5, 6]))
    assert [len(part.targets) for part in parts] == [3, 4]
    assert same(join(*parts), whole)
    assert torch.equal(whole.at(torch.tensor([5, 0])).prediction, whole.prediction[[5, 0]])


def test_detached_inputs_carry_no_graph() -> None:
    prediction, sensitivities, targets = inputs(4)
    weight = torch.ones(3, requires_grad=True)
    attached = AttackerInputs(weight * prediction, weight * sensitivities, targets)
    assert not any(column.requires_grad for column in attached.detached())
    assert same(attached.detached(), inputs(4))


# Query


@pytest.fixture
def defender(tiny: Any) -> Defender:
    defender = tiny.defender()
    defender(torch.randn(20, 1, 4, 4) * 2 + 1)  # running statistics unlike those of any batch
    return defender


def batches() -> tuple[Batch, Batch]:
    torch.manual_seed(3)
    return Batch(torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])), Batch(
        torch.randn(3, 1, 4, 4), torch.tensor([2, 2, 0])
    )


@pytest.mark.parametrize("attacker_input", ["probabilities", "logits"])
@pytest.mark.parametrize("mode", ["running", "batch"])
def test_a_query_gives_each_batch_its_part_of_one_pass(defender: Defender, attacker_input: str, mode: str) -> None:
    query, pair = Query(sensitivity(), attacker_input), batches()
    parts = query(defender, *pair, mode)
    logits, features = defender.train(mode == "batch")(torch.cat([batch.images for batch in pair]))
    expected = logits if attacker_input == "logits" else logits.softmax(1)
    for part, batch, rows in zip(parts, pair, (slice(0, 5), slice(5, 8)), strict=True):
        assert torch.equal(part.inputs.prediction, expected[rows])
        assert torch.equal(part.logits, logits[rows])
        assert torch.equal(part.features, features[rows])
        assert torch.equal(part.inputs.targets, batch.targets)
        assert (part.inputs.sensitivity > 0).all()


def test_a_query_without_sensitivity_makes_no_noisy_pass(defender: Defender) -> None:
    passes = []
    defender.register_forward_pre_hook(lambda *_: passes.append(1))
    parts = Query(sensitivity(), "probabilities")(defender, *batches(), "running", with_sensitivity=False)
    assert not any(part.inputs.sensitivity.any() for part in parts)
    assert len(passes) == 1


@pytest.mark.parametrize(("mode", "updates"), [("batch", 0), ("update", 3), ("running", 0)])
def test_update_puts_the_noisy_copies_into_the_running_statistics_as_well(defender: Defender, mode: str, updates: int) -> None:
    counters = [buffer for name, buffer in defender.named_buffers() if name.endswith("num_batches_tracked")]
    before = [int(counter) for counter in counters]
    query = Query(sensitivity(), "probabilities")
    query(defender, *batches(), mode)
    assert counters
    assert [int(counter) - old for counter, old in zip(counters, before, strict=True)] == [updates] * len(counters)


def test_small_noise_is_measured_in_float32(defender: Defender) -> None:
    query = Query(sensitivity(noise_scale=1e-3, divide=True), "probabilities")
    images = torch.cat([batch.images for batch in batches()])
    network = copy.deepcopy(defender.network).double().eval()

    def probabilities(images: Tensor) -> Tensor:
        return network(images.double()).softmax(1)

    torch.manual_seed(0)
    noisy = [images + 1e-3 * torch.randn_like(images) for _ in range(2)]
    with torch.no_grad():
        expected = torch.stack([(probabilities(each) - probabilities(images)).abs() for each in noisy]).mean(0) / 1e-3
    for enabled in (False, True):
        pair = batches()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            found = join(*(part.inputs for part in query(defender, *pair, "running"))).sensitivity
        torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=2e-4)  # 1e-7 of a probability, divided by 1e-3


def test_under_autocast_the_pass_is_short_and_the_inputs_are_float32(defender: Defender) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        (part, _) = Query(sensitivity(), "logits")(defender, *batches(), "batch")
    assert part.logits.dtype == torch.bfloat16
    assert {part.inputs.prediction.dtype, part.inputs.sensitivity.dtype} == {torch.float32}


def test_in_a_joint_batch_of_retain_and_forget_images_val_images_are_apart_and_have_no_gradient(defender: Defender) -> None:
    forget, val = batches()
    retain = Batch(torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 1]))
    parts = {"retain": retain, "forget": forget, "val": val}
    expected, norms = copy.deepcopy(defender).train(), [name for name, _ in defender.named_buffers() if "running" in name]
    found = Query(sensitivity(copies=0), "probabilities", "retain_forget").step(defender, parts, "batch", True)
    logits, _ = expected(torch.cat([retain.images, forget.images]))
    buffers = {name: dict(expected.named_buffers())[name].clone() for name in norms}
    assert torch.equal(found["retain"].logits, logits[:4])
    assert torch.equal(found["forget"].logits, logits[4:])
    assert torch.equal(found["val"].logits, expected(val.images)[0])
    assert norms
    assert all(torch.equal(dict(defender.named_buffers())[name], buffers[name]) for name in norms)  # val images leave them
    assert [found[name].logits.requires_grad for name in parts] == [True, True, False]
    alone = Query(sensitivity(copies=0), "probabilities", "retain_forget").step(defender, {"retain": retain}, "batch", True)
    assert list(alone) == ["retain"]


@pytest.mark.parametrize(("retained", "apart"), [([0, 1], True), ([0, 2], False)])
def test_images_of_classes_that_go_as_a_whole_stay_out_of_the_retain_statistics(
    defender: Defender, retained: list[int], apart: bool
) -> None:
    query, (forget, val) = Query(sensitivity(copies=0), "probabilities", "retain_forget"), batches()
    retain = Batch(torch.randn(4, 1, 4, 4), torch.tensor(retained * 2))
    query.prepare(torch.tensor([2, 3, 3]), retain.targets, with_val=True)
    expected = copy.deepcopy(defender).train()
    found = query.step(defender, {"retain": retain, "forget": forget, "val": val}, "batch", True)
    assert torch.equal(found["retain"].logits, expected(retain.images)[0]) is apart
    assert torch.equal(found["forget"].logits, expected(forget.images)[0]) is apart
    assert found["forget"].logits.requires_grad


def test_a_joint_batch_of_retain_and_forget_images_has_no_sensitivity(tiny: Any) -> None:
    with pytest.raises(InputError, match=r"copies must be 0 with baseline\.joint_batch=retain_forget, got 1"):
        game(tiny.defender(), joint_batch="retain_forget", sensitivity=sensitivity(copies=1))

from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.baseline.scrub import SCRUB
from dau_lightning.data.alternating import AlternatingLoader
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs

PLAIN: dict[str, Any] = {"forget_epochs": 1, "temperature": 2.0, "cross_entropy_weight": 0.7, "divergence_weight": 0.4}
PLAIN["forget_batch_size"] = 12


def kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """`T^2 sum p log(p / q)`, a sample after another."""
    rows = []
    for one, other in zip(teacher / temperature, student / temperature, strict=True):
        p, q = one.exp() / one.exp().sum(), other.exp() / other.exp().sum()
        rows.append((p * (p / q).log()).sum())
    return temperature**2 * torch.stack(rows).mean()


def test_the_plan_says_how_long_forget_images_are_visited(tiny: Any) -> None:
    plan = tiny.module(SCRUB, **PLAIN, epochs=4).plan(7, tiny.split())
    assert plan == "SCRUB: 4 epochs of 7 steps; an epoch visits every forget sample 1.0 times, up to epoch 1"


def test_a_step_up_and_a_step_down_are_those_of_the_formula(tiny: Any) -> None:
    student = tiny.defender(seed=5)
    module = tiny.module(SCRUB, **FULL | PLAIN, defender=student, lr=0.1, batch_norm="batch")
    module.teacher.copy_from = lambda _: None  # type: ignore[method-assign]
    original = tiny.defender(seed=2)  # another than the student: at the start, the divergence has no gradient
    module.teacher.network.load_state_dict(original.state_dict())
    original.eval()
    (retain, kept), (forget, _) = inputs(tiny, "retain"), inputs(tiny, "forget")
    reference = tiny.defender(seed=5).network
    up = descended(reference, lambda net: -kl(original(forget)[0].detach(), net(forget), 2.0), 0.1)
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(up), reference.parameters())

    def down(network: Any) -> Tensor:
        logits = network(retain)
        return 0.7 * cross_entropy(logits, kept) + 0.4 * kl(original(retain)[0].detach(), logits, 2.0)

    expected = descended(reference, down, 0.1)
    tiny.fit(module)
    assert_equal(module.defender.parameters(), expected)


def test_the_teacher_is_the_original_and_stays(tiny: Any) -> None:
    module, before = tiny.module(SCRUB, **PLAIN), tiny.defender().state_dict()
    module.teacher.network.load_state_dict(tiny.defender(seed=3).state_dict())  # as a run does: the weights come later
    tiny.fit(module)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.teacher.network.state_dict().items())


def test_later_epochs_have_no_forget_pass(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    class Watched(SCRUB):
        def descend(self, number: int, loss: Tensor) -> None:
            taken.append("up" if float(loss.detach()) <= 0 else "down")
            super().descend(number, loss)

    module, made = tiny.module(Watched, **PLAIN, epochs=3), list[str]()
    batch = AlternatingLoader.batch
    monkeypatch.setattr(AlternatingLoader, "batch", lambda *arguments: made.append(arguments[1]) or batch(*arguments))
    tiny.fit(module)
    assert made.count("forget") == 1  # later epochs make no forget batch either
    assert made.count("retain") == 9
    assert taken == ["up", "down", "down", "down"] + 2 * ["down", "down", "down"]

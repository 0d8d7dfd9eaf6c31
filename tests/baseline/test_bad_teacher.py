from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import key
from dau_lightning.baseline.bad_teacher import BadTeacher
from dau_lightning.network import resnet18
from dau_lightning.network.defender import Defender
from tests.one_step import FULL, assert_equal, inputs

SETTINGS = FULL | {"momentum": 0.9, "retain_share": 1.0, "lr": 0.01, "batch_norm": "batch"}


def test_a_step_is_adam_on_the_formula(tiny: Any) -> None:
    module = tiny.module(BadTeacher, **SETTINGS)
    (retain, _), (forget, _) = inputs(tiny, "retain"), inputs(tiny, "forget")
    tiny.fit(module)
    untrained, original, student = module.untrained.network.eval(), tiny.defender().eval(), tiny.defender()

    p = torch.cat([original(retain)[0], untrained(forget)[0]]).detach().softmax(1)
    q = student(torch.cat([retain, forget]))[0].softmax(1)  # one batch
    loss = (p * (p / q).log()).sum() / 48
    parameters = list(student.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    first = [  # of Adam: corrected for their start at 0, the moments are the gradient and its square
        weight - 0.01 * gradient / (gradient.abs() + 1e-8) for weight, gradient in zip(parameters, gradients, strict=True)
    ]
    clear = [gradient.abs() > 1e-6 for gradient in gradients]  # elsewhere the sign is rounding
    found = [weight[where] for weight, where in zip(module.defender.parameters(), clear, strict=True)]
    assert_equal(found, [weight[where] for weight, where in zip(first, clear, strict=True)])


def test_the_bad_teacher_is_a_new_network_and_the_good_one_the_original(tiny: Any) -> None:
    module, original = tiny.module(BadTeacher, **SETTINGS), tiny.defender(seed=0)
    tiny.fit(module)
    for before, good, bad in zip(
        original.parameters(), module.original.parameters(), module.untrained.parameters(), strict=True
    ):
        assert torch.equal(before, good)
        assert before.dim() == 1 or not torch.equal(before, bad)
    assert float(module.untrained.state_dict()["network.network.0.1.running_mean"].abs().max()) == 0


def test_an_epoch_visits_the_share_of_the_retain_set(tiny: Any) -> None:
    seen = tiny.seen(lambda **settings: BadTeacher(**settings, retain_share=0.33, forget_batch_size=12))
    retain = {number: count for number, count in seen.items() if number < 36}
    assert len(retain) == 12  # a batch
    assert set(retain.values()) == {2}  # in two epochs, of the student; teachers are other networks
    assert {number for number in seen if number >= 36} == set(range(36, 48))


def test_a_layer_that_cannot_draw_new_weights_is_named(tiny: Any) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:
            return self.factor * images

    network = nn.Sequential(Scale(), nn.Flatten(), nn.Linear(16, 3))
    message = "Bad Teacher draws new weights, and Scale has no method reset_parameters: choose another baseline"
    with pytest.raises(InputError, match=message):
        tiny.module(BadTeacher, **SETTINGS, defender=Defender(network))


def test_the_bad_teacher_is_a_network_as_the_run_makes_them(tiny: Any) -> None:
    def make() -> nn.Module:
        return resnet18(3, 1)

    module = tiny.module(BadTeacher, **SETTINGS, defender=Defender(make(), make_new=make))
    module.begin()
    with torch.random.fork_rng():
        torch.manual_seed(key(0, "unlearning", "untrained teacher"))
        expected = make().state_dict()
    found = module.untrained.network.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert float(found["layer3.1.conv1.weight"].std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)  # torch's own: 0.012

from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.baseline.scrub import SCRUB
from dau_lightning.data.alternating import AlternatingLoader
from dau_lightning.dataset.images import Images
from tests.killing import Kill, Killed, equal, fit
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs

PLAIN: dict[str, Any] = {"forget_epochs": 1, "temperature": 2.0, "cross_entropy_weight": 0.7, "divergence_weight": 0.4}
PLAIN |= {"rewind": False, "forget_batch_size": 12}


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


def test_it_goes_back_to_the_epoch_whose_forget_error_is_that_of_held_out_images(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"forget": [0.9, 0.5, 0.25, 0.0], "val": [0.5]}  # of each epoch; of class a, b, c in the last

    def correct(defender: Any, images: Images, transform: Any) -> Tensor:
        part = images.ids[0].split("/")[0]
        return torch.arange(len(images)) < shares[part].pop(0) * len(images)

    monkeypatch.setattr("dau_lightning.training.plain_pass.correct", correct)
    module, kept = tiny.module(SCRUB, **PLAIN | {"rewind": True}, epochs=4, lr=0.01), list[dict[str, Tensor]]()
    module.on_train_epoch_start = lambda: kept.append({n: t.clone() for n, t in module.defender.state_dict().items()})
    tiny.fit(module)
    assert module.label == "SCRUB+R"
    assert module.findings["epoch"] == 1  # half of the forget images are wrong there, as half of the others are
    after = module.defender.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in kept[2].items())  # the start of the third epoch


@pytest.mark.parametrize("step", [5, 8, 11])
def test_killed_after_an_epoch_it_goes_back_to_the_same_one(tiny: Any, step: int) -> None:
    def module() -> Any:
        return tiny.module(SCRUB, **PLAIN | {"rewind": True}, epochs=3)

    whole, resumed = module(), module()
    expected = fit(tiny, whole, seconds=60)
    with pytest.raises(Killed):
        fit(tiny, module(), Kill(step))
    assert equal(fit(tiny, resumed), expected)
    assert resumed.findings == whole.findings


def test_without_a_held_out_image_of_the_classes_there_is_no_going_back(tiny: Any) -> None:
    split = tiny.split(val=1)  # class a
    only_b = split.forget[(split.forget.targets == 1).nonzero().flatten()]
    module = tiny.module(SCRUB, **PLAIN | {"rewind": True})
    object.__setattr__(split, "forget", only_b)
    with pytest.raises(InputError, match=r"baseline\.rewind=true needs a validation image of a class of the forget set"):
        module.check(split)


def test_wrong_labels_are_to_be_predicted_by_chance_alone(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = [0.9, 0.5, 0.25, 0.0]  # the share of forget images that keep their wrong label, after each epoch
    monkeypatch.setattr("dau_lightning.baseline.scrub.accuracy", lambda *_: rights.pop(0))
    monkeypatch.setattr("dau_lightning.baseline.scrub.accuracy_as_in", lambda *_: 0.5)
    module, split = tiny.module(SCRUB, **PLAIN | {"rewind": True}, epochs=4, lr=0.01), tiny.split()
    split.request["wrong_labels"] = True
    tiny.fit(module, split=split)
    assert module.findings["epoch"] == 2  # two other classes: (1 - 0.5) / 2

"""The defender's gradient is that of Eq. 3, written once more in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.randomness import key
from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker
from dau_lightning.game.objective import MinMax
from tests.whole_game import State, StepRecord, game, gradients, sensitivity


def equation_3(module: DAU, record: StepRecord, step: int, saturating: bool) -> State:
    """Eq. 3 of the paper in float64, written once more from the defender, the attacker and the batch of a step."""
    batch, network = record.batches[step], record.defenders[step].double().train()
    attacker = record.attackers[step].double().train(module.attacker.mode == "train")
    retain, forget, val = (batch[part].images for part in ("retain", "forget", "val"))
    loss = -network(retain.double()).log_softmax(1)[torch.arange(len(retain)), batch["retain"].targets].mean()

    network.train(module.batch_norm == "batch")
    features: list[Tensor] = []
    network[-1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    images, noisy = torch.cat([forget, val]), module.query.sensitivity
    torch.manual_seed(key(module.seed, "unlearning", step, 0))
    noise = [torch.randn_like(images) for _ in range(noisy.copies)]
    logits = network(images.double())
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    s = torch.zeros_like(probabilities)
    for draw in noise:
        difference = network((images + noisy.noise_scale * draw).double()).softmax(1) - probabilities
        if noisy.norm:
            difference = difference.square().sum(1, keepdim=True).sqrt().expand(-1, 3)
        s = s + difference.abs() / len(noise) / (noisy.noise_scale if noisy.divide else 1)
    s = s if noisy.gradient else s.detach()

    targets = torch.cat([batch["forget"].targets, batch["val"].targets])
    prediction = probabilities if module.query.attacker_input == "probabilities" else logits
    member = 1 / (1 + (-attacker(prediction, s, targets)).exp())
    f, v = member[: len(forget)], member[len(forget) :]
    forms = {True: f.log().mean() + (1 - v).log().mean(), False: -(1 - f).log().mean() - v.log().mean()}

    zf, zv = features[0][: len(forget)], features[0][len(forget) :]
    zf, zv = zf - zf.mean(0), zv - zv.mean(0)
    redundancy = torch.zeros((), dtype=torch.float64)
    for i in range(zf.shape[1]):
        for j in range(zv.shape[1]):
            product = zf[:, i].norm() * zv[:, j].norm()
            c = (zf[:, i] * zv[:, j]).sum() / product if product > 0 else torch.zeros(())
            redundancy = redundancy + ((1 - c) ** 2 if i == j else 5e-3 * c**2)

    (loss + module.adversarial_weight * forms[saturating] + module.regulariser_weight * redundancy).backward()
    return gradients(network)


def relative(found: State, expected: State) -> float:
    """Distance of two gradients, as a share of the second's length."""
    assert found.keys() == expected.keys()
    distance = sum(float((found[name].double() - expected[name].double()).square().sum()) for name in found)
    return (distance / sum(float(tensor.double().square().sum()) for tensor in expected.values())) ** 0.5


def without_dropout(num_classes: int) -> Attacker:
    attacker = Attacker(num_classes)
    for layer in attacker.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
        if isinstance(layer, nn.MultiheadAttention):
            layer.dropout = 0.0
    return attacker


@pytest.mark.parametrize(
    ("settings", "noise", "saturating"),
    [
        ({}, {}, True),
        ({}, {"gradient": True}, True),
        ({}, {}, False),
        ({}, {"gradient": True}, False),
        ({"attacker_mode": "train"}, {"gradient": True}, True),
        ({"attacker_input": "logits"}, {"gradient": True}, True),
        ({"batch_norm": "running"}, {"gradient": True}, True),
        ({}, {"gradient": True, "noise_scale": 0.5, "divide": True, "norm": True}, True),
        ({"adversarial_weight": 0.9, "regulariser_weight": 2.0}, {"gradient": True}, False),
    ],
)
def test_the_defenders_gradient_is_that_of_equation_3(
    tiny: Any, settings: dict[str, Any], noise: dict[str, Any], saturating: bool
) -> None:
    # A large alpha gives the terms about the same length: an attacker so little trained moves the defender little.
    settings = {"adversarial_weight": 50.0} | settings
    parts = {"sensitivity": sensitivity(**noise), "objective": MinMax(saturating), "attacker": without_dropout}
    module, record = game(tiny.defender(), pretraining_steps=5, **parts, **settings), StepRecord()
    tiny.fit(module, record)
    for step in (0, 2):
        assert relative(record.defender_gradients[step], equation_3(module, record, step, saturating)) < 1e-5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sensitivity": sensitivity(gradient=True)}, {"sensitivity": sensitivity(gradient=False)}),
        ({"objective": MinMax(True)}, {"objective": MinMax(False)}),
        ({"attacker_input": "probabilities"}, {"attacker_input": "logits"}),
        ({"attacker_mode": "eval"}, {"attacker_mode": "train"}),
        ({"batch_norm": "batch"}, {"batch_norm": "running"}),
        ({"adversarial_weight": 200.0}, {"adversarial_weight": 100.0}),
        ({"regulariser_weight": 0.1}, {"regulariser_weight": 0.2}),
    ],
)
def test_a_setting_changes_the_defenders_gradient(tiny: Any, first: dict[str, Any], second: dict[str, Any]) -> None:
    records = StepRecord(), StepRecord()
    for settings, record in zip((first, second), records, strict=True):
        tiny.fit(game(tiny.defender(), **({"adversarial_weight": 200.0} | settings)), record)
    assert relative(*(record.defender_gradients[0] for record in records)) > 1e-2

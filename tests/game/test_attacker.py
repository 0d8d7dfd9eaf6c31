import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.game.attacker import Attacker, Several, StatisticsAttacker

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(num_classes: int, count: int = 6) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(count, num_classes, generator=generator).softmax(1)
    sensitivity = torch.rand(count, num_classes, generator=generator)
    return probabilities, sensitivity, torch.randint(num_classes, (count,), generator=generator)


def seen_by(module: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """The input of a module inside of a network while the network runs."""
    seen: list[Tensor] = []
    with module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])):
        run()
    (argument,) = seen
    return argument.detach()


@pytest.mark.parametrize(("num_classes", "count"), [(10, 141_886), (100, 511_066)])
def test_parameters_and_shape(num_classes: int, count: int) -> None:
    attacker = Attacker(num_classes)
    assert sum(parameter.numel() for parameter in attacker.parameters()) == count
    logits = attacker(*inputs(num_classes))
    assert logits.shape == (6,)
    assert logits.dtype == torch.float32


def test_it_has_the_architecture_of_the_paper() -> None:
    layers = Attacker(10).encoder.layers
    assert len(layers) == 3
    for layer in layers:
        assert not layer.norm_first
        assert layer.activation is F.gelu
        assert (layer.self_attn.embed_dim, layer.self_attn.num_heads, layer.linear1.out_features) == (64, 4, 128)
        assert {module.p for module in layer.modules() if isinstance(module, nn.Dropout)} == {0.2}


def test_a_token_is_probability_sensitivity_and_target_of_its_class() -> None:
    attacker, (probabilities, sensitivity, targets) = Attacker(4).eval(), inputs(4)
    attacker.norm.eps = 0.0  # with its fresh statistics of mean 0 and variance 1 the norm is the identity
    tokens = seen_by(attacker.embed, lambda: attacker(probabilities, sensitivity, targets))
    assert tokens.shape == (6, 4, 3)
    for sample in range(6):
        for label in range(4):
            is_label = float(targets[sample] == label)
            assert tokens[sample, label].tolist() == [
                probabilities[sample, label].item(),
                sensitivity[sample, label].item(),
                is_label,
            ]


def test_inputs_are_normalised_over_the_batch_in_training() -> None:
    attacker, seen = Attacker(4), inputs(4, count=32)
    tokens = seen_by(attacker.embed, lambda: attacker(*seen))
    torch.testing.assert_close(tokens.mean(0), torch.zeros(4, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(tokens.var(0, correction=0), torch.ones(4, 3), rtol=1e-2, atol=0)


def test_the_order_of_the_classes_matters_to_the_last_layers_only() -> None:
    torch.manual_seed(0)
    attacker, (probabilities, sensitivity, targets) = Attacker(4).eval(), inputs(4)
    order = torch.tensor([2, 0, 3, 1])  # new class k is old class order[k]
    moved = probabilities[:, order], sensitivity[:, order], order.argsort()[targets]
    straight = seen_by(attacker.hidden, lambda: attacker(probabilities, sensitivity, targets)).unflatten(1, (4, 64))
    permuted = seen_by(attacker.hidden, lambda: attacker(*moved)).unflatten(1, (4, 64))
    torch.testing.assert_close(permuted, straight[:, order], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(attacker(*moved), attacker(probabilities, sensitivity, targets))


def test_a_positive_logit_means_member() -> None:
    attacker, seen = Attacker(4).eval(), inputs(4)
    with torch.no_grad():
        attacker.output.weight.zero_()
        attacker.output.bias.copy_(torch.tensor([0.5, 2.0]))  # nonmember, member
        assert attacker(*seen).tolist() == [1.5] * 6


def test_each_input_reaches_the_logit() -> None:
    attacker, (probabilities, sensitivity, targets) = Attacker(4).eval(), inputs(4)
    logits = attacker(probabilities, sensitivity, targets)
    assert not torch.allclose(attacker(probabilities.roll(1, 0), sensitivity, targets), logits)
    assert not torch.allclose(attacker(probabilities, sensitivity + 1, targets), logits)
    assert not torch.allclose(attacker(probabilities, sensitivity, (targets + 1) % 4), logits)


@pytest.mark.parametrize("with_phi", [True, False])
def test_the_statistics_are_their_formulas(with_phi: bool) -> None:
    attacker, (probabilities, sensitivity, targets) = StatisticsAttacker(4, "probabilities", with_phi).eval(), inputs(4)
    seen = seen_by(attacker.layers, lambda: attacker(probabilities, sensitivity, targets))
    for found, p, label in zip(seen.tolist(), probabilities.double().numpy(), targets.tolist(), strict=True):
        modified = -(1 - p[label]) * math.log(p[label])
        modified -= sum(p[k] * math.log(1 - p[k]) for k in range(4) if k != label)
        expected = [p[label], p.max(), -(p * np.log(p)).sum(), modified, math.log(p[label] / (1 - p[label]))]
        assert found == pytest.approx(expected[: 4 + with_phi], rel=1e-4)


def test_the_statistics_attacker_ignores_the_sensitivity() -> None:
    attacker, (probabilities, sensitivity, targets) = StatisticsAttacker(4, "probabilities", with_phi=True).eval(), inputs(4)
    logits = attacker(probabilities, sensitivity, targets)
    assert logits.shape == (6,)
    assert torch.equal(attacker(probabilities, sensitivity + 1, targets), logits)
    assert not torch.allclose(attacker(probabilities, sensitivity, (targets + 1) % 4), logits)


def test_statistics_of_certain_predictions_have_finite_gradients() -> None:
    attacker, probabilities = StatisticsAttacker(3, "probabilities", with_phi=True).eval(), torch.eye(3, requires_grad=True)
    attacker(probabilities, torch.zeros(3, 3), torch.tensor([0, 2, 2])).sum().backward()
    assert probabilities.grad is not None
    assert probabilities.grad.isfinite().all()


def test_statistics_need_probabilities() -> None:
    with pytest.raises(InputError, match=r"baseline\.attacker_input must be probabilities .* got 'logits'"):
        StatisticsAttacker(4, attacker_input="logits", with_phi=True)


def test_several_attackers_give_the_logits_of_each() -> None:
    make = {"first": Attacker, "second": lambda num_classes: StatisticsAttacker(num_classes, "probabilities", with_phi=True)}
    several, seen = Several(4, make).eval(), inputs(4)
    logits = several(*seen)
    assert logits.shape == (6, 2)
    for column, attacker in zip(logits.T, several.attackers.values(), strict=True):
        torch.testing.assert_close(column, attacker(*seen))
    assert list(several.attackers) == ["first", "second"]

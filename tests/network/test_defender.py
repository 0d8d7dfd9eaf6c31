import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.network import convnet, resnet9
from dau_lightning.network.defender import Defender, finite
from tests.world import normal_images as images


@pytest.mark.parametrize(
    ("network", "linear"),
    [
        (resnet9(7, in_channels=1, width=2), "11"),
        (convnet(7, width=2), "6"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 7)), "3"),
    ],
)
def test_features_are_the_input_of_the_last_linear_layer(network: nn.Module, linear: str) -> None:
    defender = Defender(network)
    logits, features = defender(images(3, 1, 8))
    last = network.get_submodule(linear)
    assert isinstance(last, nn.Linear)
    assert defender.num_classes == 7
    assert torch.equal(logits, F.linear(features, last.weight, last.bias))


def test_gradient_flows_through_features() -> None:
    defender = Defender(convnet(7, width=2))
    defender(images(3, 1, 8))[1].sum().backward()
    first, last = next(defender.parameters()), list(defender.parameters())[-1]
    assert first.grad is not None
    assert last.grad is None


def test_copy_is_independent() -> None:
    defender = Defender(convnet(7, width=2)).eval()
    logits, features = (output.detach() for output in defender(images(3, 1, 8)))
    twin = copy.deepcopy(defender)
    assert all(torch.equal(*pair) for pair in zip(twin(images(3, 1, 8)), (logits, features), strict=True))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(2).add_(0.1)
    changed_logits, changed_features = twin(images(3, 1, 8))
    assert not torch.allclose(changed_features, features)
    assert torch.equal(changed_logits, F.linear(changed_features, *twin.network.get_submodule("6").parameters()))
    assert all(torch.equal(*pair) for pair in zip(defender(images(3, 1, 8)), (logits, features), strict=True))


def test_saved_names_are_those_of_the_network() -> None:
    network = convnet(7, width=2)
    names = {f"network.{name}" for name in network.state_dict()}
    assert set(Defender(network).state_dict()) == names


def test_a_network_without_linear_layer_is_refused() -> None:
    with pytest.raises(InputError, match="linear layer, Sequential has none"):
        Defender(nn.Sequential(nn.Conv2d(3, 10, 1), nn.Flatten()))


class Softened(nn.Module):
    """Its last linear layer does not give its logits, though of as many numbers."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.head = change, nn.Linear(48, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.head(images.flatten(1)))


class Backwards(nn.Module):
    """Its layers are registered in another order than they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body = nn.Linear(5, 5), nn.Linear(48, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images.flatten(1)).relu())


@pytest.mark.parametrize("network", [Softened(lambda logits: logits.softmax(1)), Softened(lambda x: x.mul_(2)), Backwards()])
def test_a_last_linear_layer_that_does_not_give_the_logits_is_refused(network: nn.Module) -> None:
    defender = Defender(network)
    with pytest.raises(InputError, match=r"as its logits, it returns something else: .* network\.features") as caught:
        defender.try_on(images(2, 3, 4), 5)
    assert len(str(caught.value).splitlines()) == 1
    Defender(network, "head").try_on(images(2, 3, 4), 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_finite_looks_at_parameters_and_buffers(value: float) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert finite(network)
    network[1].running_mean[1] = value
    assert not finite(network)
    network[1].running_mean[1] = 0
    with torch.no_grad():
        network[0].weight[0, 1] = value
    assert not finite(network)


def test_a_held_mask_is_exact_and_can_be_lost() -> None:
    torch.manual_seed(0)
    defender = Defender(convnet(3, 1, 4))
    mask = {"1.0.weight": torch.rand(8, 4, 3, 3) < 0.5}
    assert defender.holds_mask()  # without a mask
    before = defender.network.get_parameter("1.0.weight").detach().clone()
    defender.set_mask(mask)
    weight = defender.network.get_parameter("1.0.weight")
    assert torch.equal(weight, torch.where(mask["1.0.weight"], before, 0.0))
    assert defender.holds_mask()
    with torch.no_grad():
        weight += 1e-8
    assert not defender.holds_mask()
    with torch.no_grad():
        weight[~mask["1.0.weight"]] = torch.nan
    defender.prune()
    assert defender.holds_mask()  # zero times NaN would not be zero


def test_a_mask_is_moved_once_after_its_weights() -> None:
    defender, kept = Defender(convnet(3, 1, 4)), torch.rand(8, 4, 3, 3) < 0.5
    mask = {"1.0.weight": kept}
    defender.set_mask(mask)
    assert defender.mask["1.0.weight"] is kept
    defender.to("meta").prune()
    moved = defender.mask["1.0.weight"]
    defender.prune()
    assert defender.mask["1.0.weight"] is moved
    assert moved.device.type == "meta"
    assert mask["1.0.weight"] is kept  # which other defenders hold, too


@pytest.mark.parametrize("network", [convnet(3), resnet9(3, width=2)])
def test_the_defender_knows_its_number_of_features(network: nn.Module) -> None:
    defender = Defender(network).eval()
    channels = next(network.parameters()).shape[1]
    _, features = defender(images(2, channels, 8))
    assert features.shape == (2, defender.num_features)

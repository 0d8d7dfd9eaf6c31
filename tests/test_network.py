import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.error import InputError
from dau_lightning.network import Defender, convnet, finite, mlp, resnet9, resnet18


def images(count: int, channels: int, size: int) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def multiply_adds(network: nn.Module, image: Tensor) -> int:
    """Multiplications of convolutions and linear layers for a batch of one."""
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.get_parameter("weight")  # (outputs, numbers that each output is a sum over)
        total += output[0].numel() * weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(image)
    return total


@pytest.mark.parametrize(
    ("num_classes", "parameters", "operations"), [(10, 11_173_962, 555_422_720), (100, 11_220_132, 555_468_800)]
)
def test_resnet18_has_the_published_size(num_classes: int, parameters: int, operations: int) -> None:
    network = resnet18(num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert multiply_adds(network, images(1, 3, 32)) == operations


def test_resnet18_learns_and_gives_512_features() -> None:
    torch.manual_seed(0)
    defender, batch, targets = Defender(resnet18(10)), images(2, 3, 32), torch.tensor([3, 7])
    optimizer = torch.optim.SGD(defender.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    losses = []
    for _ in range(2):
        logits, features = defender(batch)
        losses.append(F.cross_entropy(logits, targets))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert (logits.shape, features.shape) == ((2, 10), (2, 512))
    assert losses[1].item() < losses[0].item()
    assert finite(defender)


def test_resnet18_keeps_the_resolution_of_its_stem() -> None:
    network = resnet18(10, in_channels=1)
    sizes = []
    for layer in (network.layer1, network.layer4):
        layer.register_forward_hook(lambda _module, _inputs, output: sizes.append(tuple(output.shape[1:])))
    network.eval()(images(1, 1, 32))
    assert sizes == [(64, 32, 32), (512, 4, 4)]


@pytest.mark.parametrize(
    ("network", "size", "channels", "parameters", "width"),
    [
        (resnet9, 32, 3, 412_954, 128),
        (convnet, 8, 1, 56_554, 64),
    ],
)
def test_small_networks(network: Callable[[int], nn.Module], size: int, channels: int, parameters: int, width: int) -> None:
    defender = Defender(network(10))
    assert sum(parameter.numel() for parameter in defender.parameters()) == parameters
    logits, features = defender(images(3, channels, size))
    assert (logits.shape, features.shape) == ((3, 10), (3, width))


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
    with pytest.raises(InputError, match=r"whose output is not its logits: .* network\.features") as caught:
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
    defender.hold(mask)
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
    defender.hold(mask)
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


def test_mlp_projects_features() -> None:
    projector = mlp(4, width=6)
    assert projector(torch.randn(5, 4)).shape == (5, 6)
    assert [type(layer) for layer in projector] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]

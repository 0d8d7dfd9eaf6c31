import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.network import resnet18
from dau_lightning.network.defender import Defender, finite
from tests.world import normal_images as images


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

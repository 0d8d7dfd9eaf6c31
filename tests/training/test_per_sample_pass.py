from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from dau_lightning.network import convnet, resnet9
from dau_lightning.training.per_sample_pass import PerSamplePass


def unlike(network: nn.Module) -> nn.Module:
    """In evaluation mode, with batch-norm that is no identity."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var, layer.bias.data, layer.running_mean):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return network.eval()


def one_by_one(network: nn.Module, images: Tensor, cotangents: Tensor) -> Tensor:
    """Ordinary backward passes of batches of one."""
    rows = []
    for image, cotangent in zip(images.split(1), cotangents, strict=True):
        outputs = network(image).log_softmax(1)[0]
        gradients = torch.autograd.grad(outputs, list(network.parameters()), cotangent, materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


def all_at_once(once: PerSamplePass, cotangents: Tensor) -> Tensor:
    """The blocks put together; each number is given once."""
    size = sum(parameter.numel() for parameter in once.parameters.values())
    found, times = torch.zeros(len(cotangents), size), torch.zeros(len(cotangents), size)
    for block in once.gradients(cotangents):
        found[block.samples, block.parameters] = block.gradients
        times[block.samples, block.parameters] += 1
    assert (times == 1).all()
    return found


class Twice(nn.Module):
    """One layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layer(self.layer(images).relu()).mean((2, 3)))


class UsedOutside(nn.Module):
    """A layer whose weight is used outside of it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(3, 3), nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layer(images.mean((2, 3))).relu() @ self.layer.weight)


class Folded(nn.Module):
    """Puts positions among samples before a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(2).mT.flatten(0, 1)).sin().view(len(images), -1, 5).mean(1)


class Unused(nn.Module):
    """Has a layer that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(3, 5), nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.mean((2, 3)))


def tied() -> nn.Module:
    """One weight of two layers."""
    first, second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))


def kinds() -> nn.Module:
    """Every kind of convolution, linear layer and batch-norm that has a product of its own."""
    return nn.Sequential(
        nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 2), dilation=(2, 1)),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.Flatten(2),
        nn.LazyLinear(7),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.LazyLinear(8, bias=False),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Linear(8, 5),
    )


def before_batch_norm(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


KNOWN: dict[str, Callable[[], nn.Module]] = {
    "convnet": lambda: convnet(5, 3, 4),
    "resnet9": lambda: resnet9(5, 3, 2),
    "kinds": kinds,
}
UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "grouped": lambda: before_batch_norm(nn.Conv2d(3, 6, 3, groups=3)),
    "reflected": lambda: before_batch_norm(nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect")),
    "same": lambda: before_batch_norm(nn.Conv2d(3, 6, 3, padding="same")),
    "group norm": lambda: before_batch_norm(nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6))),
    "twice": Twice,
    "folded": Folded,
    "unused": Unused,
    "tied": tied,
    "used outside": UsedOutside,
}


@pytest.mark.parametrize("name", KNOWN | UNKNOWN)
def test_they_are_the_gradients_of_batches_of_one(name: str) -> None:
    torch.manual_seed(0)
    network, images = (KNOWN | UNKNOWN)[name](), torch.randn(4, 3, 8, 8)
    network(images)  # lazy layers take their shapes
    once = PerSamplePass(unlike(network), images)
    assert bool(once.layers) == bool(once.bytes) == (name in KNOWN)
    for cotangents in torch.randn(2, 4, 5):  # of one forward pass
        expected = one_by_one(network, images, cotangents)
        assert (all_at_once(once, cotangents) - expected).norm() < 1e-5 * expected.norm()
    torch.testing.assert_close(once.log_probabilities, network(images).log_softmax(1))


def test_operations_in_place_and_channels_last() -> None:
    torch.manual_seed(0)
    network = unlike(torchvision.models.resnet18(num_classes=5)).to(memory_format=torch.channels_last)
    images, cotangents = torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last), torch.randn(2, 5)
    once, expected = PerSamplePass(network, images), one_by_one(network, images, cotangents)
    assert once.layers
    assert (all_at_once(once, cotangents) - expected).norm() < 1e-5 * expected.norm()

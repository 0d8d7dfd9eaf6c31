"""FF and IU over single samples against the same over batches of one, and how far the two are apart.

At most: what the convolutions' matrix products would allow if nothing else took time.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import alternate
from benchmarks.table import Table
from benchmarks.workload import SHAPES, Workload
from dau_lightning.baseline.fisher import fisher_diagonal
from dau_lightning.training.per_sample_gradient import per_sample_gradients
from dau_lightning.training.per_sample_pass import PerSamplePass

TARGETS = {"convnet": 10, "resnet9": 3}
BACKWARDS = {"FF": 10, "IU, gradients": 1}  # of an image: FF's is one a class
IMAGES = {"convnet": (128, 8), "resnet9": (16, 3)}  # of ours, of the loop


def measure(device: torch.device) -> Table:
    """A row a network and method."""
    rows = [_row(network, method, device) for network in TARGETS for method in METHODS]
    return Table("Gradients of single samples", rows, "apart: relative distance of the two results in float64, 1e-4 allowed")


def _row(network: str, method: str, device: torch.device) -> dict[str, Any]:
    defender = Workload(network, "influence").module().defender.to(device).eval()
    count, few = IMAGES[network]
    images, targets = torch.randn(count, *SHAPES[network], device=device), torch.arange(count, device=device) % 10
    ours, loop = METHODS[method]
    all_of_them, some = (defender, images, targets), (defender, images[:few], targets[:few])
    exact = deepcopy(defender).double(), images[:few].double(), targets[:few]  # in float32 a maximum may fall on another pixel
    found, expected = ours(*exact), loop(*exact)
    works = {"ours": partial(ours, *all_of_them), "loop": partial(loop, *some), "products": products(defender, images)}
    seconds = alternate(works, device)
    mine, theirs = seconds["ours"] / count, seconds["loop"] / few
    least = BACKWARDS[method] * seconds["products"] / count
    return {
        "network": network,
        "method": method,
        "ms an image": 1000 * mine,
        "loop": 1000 * theirs,
        "ratio": theirs / mine,
        "at most": theirs / least,
        "target": TARGETS[network],
        "apart": float((found - expected).norm() / expected.norm()),
    }


def loop_diagonal(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The Fisher diagonal, an image and a class at a time."""
    parameters, total = list(model.parameters()), torch.zeros(())
    for image in images.split(1):
        log_probabilities = model(image)[0].log_softmax(1)[0]
        for value in log_probabilities:
            gradients = torch.autograd.grad(value, parameters, retain_graph=True)
            total = total + value.exp().detach() * torch.cat([each.flatten() for each in gradients]).square()
    return total / len(images)


def loop_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each sample's cross-entropy, one at a time."""
    parameters, rows = list(model.parameters()), []
    for image, target in zip(images.split(1), targets.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(image)[0], target), parameters)
        rows.append(torch.cat([each.flatten() for each in gradients]))
    return torch.stack(rows)


def products(model: nn.Module, images: Tensor) -> Callable[[], None]:
    """A work: what went into each convolution times what came back to it, a product a sample."""
    once = PerSamplePass(model, images)
    edges = [call.edge for call in once.calls]
    returned = torch.autograd.grad(once.log_probabilities, edges, torch.ones_like(once.log_probabilities))
    calls = zip(once.calls, returned, strict=True)
    pairs = [(back.flatten(2), call.inputs.mT) for call, back in calls if isinstance(call.layer, nn.Conv2d)]

    def work() -> None:
        for back, inputs in pairs:
            torch.bmm(back, inputs)

    return work


METHODS = {"FF": (fisher_diagonal, loop_diagonal), "IU, gradients": (per_sample_gradients, loop_gradients)}

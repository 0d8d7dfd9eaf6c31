"""Gradients of single samples in bounded memory, with the network in evaluation mode and in float32.

Flat gradients `(..., P)` follow the order of `model.parameters()`. Weights that a defender's mask prunes are constants with
a gradient of exactly zero.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad

from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import eager, evaluating, float32
from dau_lightning.training.per_sample_pass import PerSamplePass, by_device, logits, masks, places

PASS_BYTES = {"cpu": 64 * 2**20, "cuda": 2 * 2**30}  # that a pass may use
PASS_SAMPLES = 128  # the most samples in a pass: larger passes are not faster on a CPU
BATCH = 50  # images in an ordinary backward pass
_BYTES: WeakKeyDictionary[nn.Module, dict[Any, int]] = WeakKeyDictionary()  # of a sample; measuring takes a pass


def per_sample_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each sample's cross-entropy (nats) with respect to the parameters, `(B, P)` in their dtype.

    Args:
        model: returns logits `(B, K)`, or a tuple that starts with them. Its mode, statistics and weights do not change.
        images: float `(B, C, H, W)`, or any other input that the model takes.
        targets: int64 `(B,)`.
    """
    gradients = _empty(model, len(images))
    size = samples_a_pass(model, images)
    with _in_evaluation(model):
        for batch, classes, rows in zip(*(each.split(size) for each in (images, targets, gradients)), strict=True):
            once = PerSamplePass(model, batch)
            for block in once.gradients(-_one_hots(once)[classes]):
                rows[block.samples, block.parameters] = block.gradients
    return gradients


def expected_squares(model: nn.Module, images: Tensor) -> Tensor:
    """`sum_x sum_k p_k(x) (d log p_k(x) / d theta)^2`, `(P,)`, over samples x and classes k, `p` the model's prediction.

    Each image takes one forward pass; gradients are added up and not kept.
    """
    total = _empty(model).zero_()
    with _in_evaluation(model):
        for batch in images.split(samples_a_pass(model, images)):
            once = PerSamplePass(model, batch)
            roots = (once.log_probabilities.detach() / 2).exp()  # square roots of p_k, since the gradients are squared below
            for one_hot in _one_hots(once):
                for block in once.gradients(roots * one_hot):
                    total[block.parameters].addmv_(block.gradients.square().T, roots.new_ones(len(block.gradients)))
    return total


def squared_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """`sum_x (d log p_y(x) / d theta)^2`, `(P,)`, over samples x with their own labels y; see `expected_squares`.

    Args:
        model: returns logits `(B, K)`, or a tuple that starts with them.
        images: float `(B, C, H, W)`.
        targets: int64 `(B,)`.
    """
    total, size = _empty(model).zero_(), samples_a_pass(model, images)
    with _in_evaluation(model):
        for batch, classes in zip(images.split(size), targets.split(size), strict=True):
            once = PerSamplePass(model, batch)
            for block in once.gradients(_one_hots(once)[classes]):
                total[block.parameters].addmv_(block.gradients.square().T, block.gradients.new_ones(len(block.gradients)))
    return total


def weighted_gradient(model: nn.Module, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of the samples' gradients, float64 `(P,)`, by ordinary backward passes; weights are `(B,)`."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    total, kept, where = _empty(model).double().zero_(), masks(model), places(parameters)

    def loss(parameters: Mapping[str, Tensor], images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        losses = F.cross_entropy(logits(model, parameters, images), targets, reduction="none")
        return losses @ weights.to(losses.dtype)

    with _in_evaluation(model):
        for batch in zip(*(tensor.split(BATCH) for tensor in (images, targets, weights)), strict=True):
            for name, gradient in grad(loss)(parameters, *batch).items():
                total[where[name]] += (gradient * kept[name] if name in kept else gradient).flatten()
    return total


def samples_a_pass(model: nn.Module, images: Tensor) -> int:
    """How many samples fit into a pass within `PASS_BYTES`, at least one."""
    taken, kind = _BYTES.setdefault(model, {}), (images.shape[1:], images.dtype)
    if kind not in taken:
        with _in_evaluation(model):
            taken[kind] = PerSamplePass(model, images[:1]).bytes or _empty(model).nbytes
    return max(1, min(PASS_SAMPLES, by_device(PASS_BYTES, images) // taken[kind]))


@torch.no_grad()
def move(model: nn.Module, change: Tensor) -> None:
    """Add a flat change `(P,)` to the parameters in place; pruned weights stay zero."""
    for parameter, part in zip(model.parameters(), shaped(model, change), strict=True):
        parameter.add_(part)
    if isinstance(model, Defender):
        model.prune()


def shaped(model: nn.Module, flat: Tensor) -> list[Tensor]:
    """The parts of a flat tensor `(P,)` in the shapes of the model's parameters."""
    parameters = list(model.parameters())
    parts = flat.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]


def flattened(model: nn.Module) -> Tensor:
    """A copy of the parameters, `(P,)`."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def unpruned(model: nn.Module) -> Tensor:
    """The weights that no mask prunes, bool `(P,)`."""
    kept = masks(model)
    every = [kept.get(name, torch.ones_like(weight, dtype=torch.bool)) for name, weight in model.named_parameters()]
    return torch.cat([each.flatten() for each in every])


def _one_hots(once: PerSamplePass) -> Tensor:
    """The one-hot vectors of all classes, `(K, K)`."""
    return torch.eye(once.log_probabilities.shape[1]).to(once.log_probabilities)


def _empty(model: nn.Module, *shape: int) -> Tensor:
    parameters = list(model.parameters())
    return parameters[0].new_empty(*shape, sum(parameter.numel() for parameter in parameters))


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Run the network as in an evaluation: evaluation mode, float32, uncompiled."""
    with evaluating(model), float32(next(model.parameters()).device), eager():
        yield

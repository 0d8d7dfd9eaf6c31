"""Gradients of single samples in bounded memory, with batch-norm in evaluation mode.

Flat gradients `(..., P)` follow the order of `model.parameters()`. Weights that a defender's mask leaves out are constants:
their gradient is exactly zero.
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
from dau_lightning.training.mode import eager, evaluating
from dau_lightning.training.per_sample_pass import Samplewise, logits, masks, of_device, places

PASS_BYTES = {"cpu": 64 * 2**20, "cuda": 2 * 2**30}  # of what a pass keeps, or of the gradients it makes all at once
PASS_SAMPLES = 128  # at most: more are no faster on a CPU
BATCH = 50  # images of an ordinary pass
_BYTES: WeakKeyDictionary[nn.Module, dict[Any, int]] = WeakKeyDictionary()  # that a sample takes, which costs a pass to know


def per_sample_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each sample's cross-entropy (nats) by the parameters, `(B, P)` of their dtype.

    Args:
        model: gives logits `(B, K)`, or a tuple that starts with them. Its modes, statistics and weights are left as they are.
        images: float `(B, C, H, W)`, or whatever else the model takes.
        targets: int64 `(B,)`.
    """
    gradients = _empty(model, len(images))
    with _as_it_is(model):
        for batch, labels, rows in zip(*_passes(model, images, targets, gradients), strict=True):
            once = Samplewise(model, batch)
            for part in once.gradients(-_one_hots(once)[labels]):
                rows[part.rows, part.columns] = part.gradients
    return gradients


def class_gradients(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Gradient of the log-probability of each of some classes `(C,)` for each image, `(B, C, P)`: one forward pass an image."""
    gradients = _empty(model, len(images), len(classes))
    with _as_it_is(model):
        for batch, rows in zip(*_passes(model, images, gradients), strict=True):
            once = Samplewise(model, batch)
            for place, one_hot in enumerate(_one_hots(once)[classes]):
                for part in once.gradients(one_hot.expand(len(batch), -1)):
                    rows[part.rows, place, part.columns] = part.gradients
    return gradients


def expected_squares(model: nn.Module, images: Tensor) -> Tensor:
    """`sum_x sum_k p_k(x) (d log p_k(x) / d theta)^2`, `(P,)`: over single samples and the model's own labels.

    One forward pass an image; no gradient is kept.
    """
    total = _empty(model).zero_()
    with _as_it_is(model):
        for batch in _passes(model, images)[0]:
            once = Samplewise(model, batch)
            roots = (once.log_probabilities.detach() / 2).exp()  # of the weights, since their products are squared
            for one_hot in _one_hots(once):
                for part in once.gradients(roots * one_hot):
                    total[part.columns].addmv_(part.gradients.square().T, roots.new_ones(len(part.gradients)))
    return total


def weighted_gradient(model: nn.Module, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The single samples' gradients summed with weights `(B,)`, `(P,)` float64: ordinary backward passes."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    total, kept, where = _empty(model).double().zero_(), masks(model), places(parameters)

    def loss(parameters: Mapping[str, Tensor], images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        losses = F.cross_entropy(logits(model, parameters, images), targets, reduction="none")
        return losses @ weights.to(losses.dtype)

    with _as_it_is(model):
        for batch in zip(*(tensor.split(BATCH) for tensor in (images, targets, weights)), strict=True):
            for name, gradient in grad(loss)(parameters, *batch).items():
                total[where[name]] += (gradient * kept[name] if name in kept else gradient).flatten()
    return total


def samples_a_pass(model: nn.Module, images: Tensor) -> int:
    """How many samples a pass takes, for the memory that it may take: at least one."""
    taken, kind = _BYTES.setdefault(model, {}), (images.shape[1:], images.dtype)
    if kind not in taken:
        with _as_it_is(model):
            taken[kind] = Samplewise(model, images[:1]).bytes or _empty(model).nbytes
    return max(1, min(PASS_SAMPLES, of_device(PASS_BYTES, images) // taken[kind]))


@torch.no_grad()
def move(model: nn.Module, change: Tensor) -> None:
    """Add a flat change `(P,)` to the parameters in place; pruned weights stay zero."""
    parameters = list(model.parameters())
    for parameter, part in zip(parameters, change.split([each.numel() for each in parameters]), strict=True):
        parameter.add_(part.view_as(parameter))
    if isinstance(model, Defender):
        model.prune()


def _passes(model: nn.Module, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Tensors by samples, the images first, split into what a pass takes."""
    size = samples_a_pass(model, tensors[0])
    return [tensor.split(size) for tensor in tensors]


def _one_hots(once: Samplewise) -> Tensor:
    """`(K, K)`."""
    return torch.eye(once.log_probabilities.shape[1]).to(once.log_probabilities)


def _empty(model: nn.Module, *shape: int) -> Tensor:
    parameters = list(model.parameters())
    return parameters[0].new_empty(*shape, sum(parameter.numel() for parameter in parameters))


@contextmanager
def _as_it_is(model: nn.Module) -> Iterator[None]:
    """The network of the evaluation: no statistics of a batch, no dropout, no shorter type."""
    device = next(model.parameters()).device.type
    with evaluating(model), torch.autocast(device, enabled=False), eager():
        yield

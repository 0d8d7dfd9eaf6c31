"""Gradients of single samples by vectorised autograd, in bounded memory, with batch-norm in evaluation mode.

Flat gradients `(..., P)` follow the order of `model.parameters()`. Weights that a defender's mask leaves out are constants:
their gradient is exactly zero.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from dau_lightning.mode import eager, evaluating
from dau_lightning.network import Defender

# Of gradients made at a time: larger chunks are slower on a CPU. Making them takes two to three times as much.
CHUNK_BYTES = {"cpu": 32 * 2**20, "cuda": 256 * 2**20}
CHUNK_SAMPLES = 128  # at most, made at a time
BATCH = 50  # images of an ordinary pass


def per_sample_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each sample's cross-entropy (nats) by the parameters, `(B, P)` of their dtype.

    Args:
        model: gives logits `(B, K)`, or a tuple that starts with them. Its modes, statistics and weights are left as they are.
        images: float `(B, C, H, W)`, or whatever else the model takes.
        targets: int64 `(B,)`.
    """
    parameters = _parameters(model)
    gradients = images.new_empty(len(images), _size(parameters), dtype=next(iter(parameters.values())).dtype)

    def loss(parameters: Mapping[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits(model, parameters, image.unsqueeze(0)), target.unsqueeze(0))

    with _as_it_is(model):
        for chunk in zip(*(tensor.split(chunk_size(model)) for tensor in (images, targets, gradients)), strict=True):
            of_chunk = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, *chunk[:2])
            _flatten(model, of_chunk, out=chunk[2])
    return gradients


def class_gradients(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Gradient of the log-probability of each of some classes `(C,)` for each image, `(B, C, P)`: one forward pass an image.

    All at once: what fits is `chunk_size`.
    """
    parameters = _parameters(model)

    def of_image(image: Tensor) -> dict[str, Tensor]:
        def log_probabilities(parameters: Mapping[str, Tensor]) -> Tensor:
            return logits(model, parameters, image.unsqueeze(0)).log_softmax(1)[0, classes]

        values, pull_back = vjp(log_probabilities, parameters)  # pyright: ignore[reportAssignmentType]
        return vmap(pull_back)(torch.eye(len(classes), dtype=values.dtype, device=values.device))[0]

    with _as_it_is(model):
        gradients = {name: each.flatten(0, 1) for name, each in vmap(of_image)(images).items()}
    flat = next(iter(gradients.values())).new_empty(len(images) * len(classes), _size(parameters))
    return _flatten(model, gradients, out=flat).view(len(images), len(classes), -1)


def weighted_gradient(model: nn.Module, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The single samples' gradients summed with weights `(B,)`, `(P,)` float64: ordinary backward passes."""
    parameters = _parameters(model)
    total = weights.new_zeros(_size(parameters), dtype=torch.float64)

    def loss(parameters: Mapping[str, Tensor], images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        losses = F.cross_entropy(logits(model, parameters, images), targets, reduction="none")
        return losses @ weights.to(losses.dtype)

    with _as_it_is(model):
        for batch in zip(*(tensor.split(BATCH) for tensor in (images, targets, weights)), strict=True):
            gradients = {name: gradient.unsqueeze(0) for name, gradient in grad(loss)(parameters, *batch).items()}
            total += _flatten(model, gradients, out=total.new_empty(1, len(total)))[0]
    return total


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Softmax of the model, `(B, K)`."""
    with _as_it_is(model), torch.no_grad():
        return torch.cat([logits(model, _parameters(model), batch).softmax(1) for batch in images.split(BATCH)])


def chunk_size(model: nn.Module, budget: int | None = None, most: int = CHUNK_SAMPLES) -> int:
    """How many flat gradients fit into a number of bytes, by default those for a chunk; at least one, at most `most`."""
    parameters = _parameters(model)
    first = next(iter(parameters.values()))
    budget = CHUNK_BYTES.get(first.device.type, min(CHUNK_BYTES.values())) if budget is None else budget
    return max(1, min(most, budget // (_size(parameters) * first.element_size())))


@torch.no_grad()
def move(model: nn.Module, change: Tensor) -> None:
    """Add a flat change `(P,)` to the parameters in place; pruned weights stay zero."""
    parameters = list(model.parameters())
    for parameter, part in zip(parameters, change.split([each.numel() for each in parameters]), strict=True):
        parameter.add_(part.view_as(parameter))
    if isinstance(model, Defender):
        model.prune()


def logits(model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """The logits that the model gives with these parameters."""
    outputs = functional_call(model, dict(parameters), (images,))
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _size(parameters: Mapping[str, Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters.values())


def _flatten(model: nn.Module, gradients: Mapping[str, Tensor], out: Tensor) -> Tensor:
    """Write gradients by name, each `(B, ...)`, into `out (B, P)`, those of pruned weights as zeros."""
    mask = {f"network.{name}": kept for name, kept in model.mask.items()} if isinstance(model, Defender) else {}
    first = 0
    for name, gradient in gradients.items():
        kept = gradient * mask[name].to(gradient.device) if name in mask else gradient
        last = first + kept[0].numel()
        out[:, first:last] = kept.flatten(1)
        first = last
    return out


@contextmanager
def _as_it_is(model: nn.Module) -> Iterator[None]:
    """The network of the evaluation: no statistics of a batch, no dropout, no shorter type."""
    device = next(model.parameters()).device.type
    with evaluating(model), torch.autocast(device, enabled=False), eager():
        yield

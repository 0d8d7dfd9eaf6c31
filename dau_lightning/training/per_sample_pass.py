"""A forward pass of a batch that gives each sample's own gradient with respect to the parameters.

Networks of convolutions, linear layers and batch-norm take one backward pass to the layers' outputs, then for each layer a
batched product of its inputs and its output gradients (Goodfellow 2015; Rochette et al. 2019). Others use torch.func.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, vjp, vmap

from dau_lightning.network.defender import Defender

BLOCK_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}  # gradients made at a time; on a CPU they fit its cache


class Block(NamedTuple):
    """Gradients `(b, p)`: of some samples of the batch with respect to some of the flat parameters."""

    samples: slice
    parameters: slice
    gradients: Tensor


class _Call(NamedTuple):
    """One call of a layer: its inputs, the node of its outputs in the autograd graph, and the bytes of the outputs."""

    layer: nn.Module
    inputs: Tensor
    edge: GradientEdge
    output_bytes: int


class PerSamplePass:
    """Runs the forward pass of a batch; the model must be in evaluation mode.

    Args:
        model: returns logits `(B, K)`, or a tuple that starts with them.
        images: float `(B, C, H, W)`, or any other input that the model takes.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, self.images = model, images
        self.parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.places, self.masks = places(self.parameters), masks(model)
        self.calls: list[_Call] = []
        layers = _layers(model) if images.is_floating_point() else {}
        in_graph = {name: parameter.detach().requires_grad_(bool(layers)) for name, parameter in self.parameters.items()}
        hooks = [layer.register_forward_hook(self._record) for layer in layers]
        try:
            with torch.enable_grad():
                images = images.detach().requires_grad_(bool(layers))
                self.log_probabilities = logits(model, in_graph, images).log_softmax(1)  # `(B, K)`
        finally:
            for hook in hooks:
                hook.remove()
        every_sample = len(self.calls) == len(layers) > 0  # otherwise a layer mixes samples with positions
        self.layers = layers if every_sample and _used_once(self.log_probabilities, in_graph.values()) else {}

    @property
    def bytes(self) -> int:
        """Memory of the layers' inputs, outputs and output gradients; 0 where torch.func is used."""
        return sum(call.inputs.nbytes + 2 * call.output_bytes for call in self.calls) if self.layers else 0

    def _record(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        """Keep the inputs of a layer as a copy, which in-place operations of the network cannot change."""
        kept, outputs = _kept(layer, inputs[0], outputs)
        if outputs.requires_grad and len(kept) == len(self.images):
            self.calls.append(_Call(layer, kept.detach(), get_gradient_edge(outputs), outputs.nbytes))
        return outputs

    def gradients(self, cotangents: Tensor) -> Iterator[Block]:
        """Each sample's gradient of `sum_k cotangents_k log p_k`, in blocks that cover every sample and parameter once.

        Args:
            cotangents: the weights of the log-probabilities, `(B, K)`.
        """
        for samples, name, gradients in self._by_layers(cotangents) if self.layers else self._by_torch_func(cotangents):
            flat = gradients.flatten(1)
            yield Block(samples, self.places[name], flat * self.masks[name].flatten() if name in self.masks else flat)

    def _by_layers(self, cotangents: Tensor) -> Iterator[tuple[slice, str, Tensor]]:
        edges = [call.edge for call in self.calls]
        returned = torch.autograd.grad(self.log_probabilities, edges, cotangents, retain_graph=True)
        for call, back in zip(self.calls, returned, strict=True):
            names = self.layers[call.layer]
            size = max(1, by_device(BLOCK_BYTES, back) // sum(self.parameters[name].nbytes for name in names))
            for first in range(0, len(back), size):
                samples = slice(first, min(first + size, len(back)))
                for name, gradients in zip(names, _gradients(call.layer, call.inputs[samples], back[samples]), strict=True):
                    yield samples, name, gradients

    def _by_torch_func(self, cotangents: Tensor) -> Iterator[tuple[slice, str, Tensor]]:
        def gradient(image: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
            def log_probabilities(parameters: Mapping[str, Tensor]) -> Tensor:
                return logits(self.model, parameters, image.unsqueeze(0)).log_softmax(1)[0]

            pull_back: Any = vjp(log_probabilities, self.parameters)[1]
            return pull_back(cotangent)[0]

        for name, gradients in vmap(gradient)(self.images, cotangents).items():
            yield slice(0, len(gradients)), name, gradients


def _layers(model: nn.Module) -> dict[nn.Module, list[str]]:
    """The layers with parameters and the names of these, weight before bias; empty if any layer is of an unknown kind."""
    layers = {
        layer: [f"{prefix}.{name}".lstrip(".") for name, _ in layer.named_parameters(recurse=False)]
        for prefix, layer in model.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    }
    return layers if all(map(_is_known, layers)) else {}


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):
        return layer.running_mean is not None
    return type(layer) is nn.Linear


def _used_once(outputs: Tensor, parameters: Iterable[Tensor]) -> bool:
    """Whether exactly one edge of the outputs' autograd graph leads to each parameter.

    An unused parameter has no edge. A parameter used outside of its layer, by two layers or in two calls has several.
    """
    uses, nodes = Counter[Any](), [outputs.grad_fn]
    while nodes:
        for node, _ in cast(Any, nodes.pop()).next_functions:
            if node is not None and not uses[node]:
                nodes.append(node)
            uses[node] += 1
    return all(uses[get_gradient_edge(parameter).node] == 1 for parameter in parameters)


def _kept(layer: Any, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's inputs in the form that is multiplied with the output gradients, and the layer's outputs."""
    if isinstance(layer, nn.Conv2d):
        padding = cast(tuple[int, ...], layer.padding)
        return F.unfold(inputs.detach(), layer.kernel_size, layer.dilation, padding, layer.stride), outputs
    if isinstance(layer, nn.Linear):
        return inputs.detach().clone(), outputs
    shape = (-1,) + (1,) * (inputs.dim() - 2)
    mean, scale = layer.running_mean.view(shape), (layer.running_var + layer.eps).rsqrt().view(shape)
    slope = layer.weight.view(shape) * scale  # one product forward and backward, faster than the layer's own
    return (inputs.detach() - mean) * scale, torch.addcmul(layer.bias.view(shape) - mean * slope, inputs, slope)


def _gradients(layer: Any, inputs: Tensor, back: Tensor) -> Iterator[Tensor]:
    """Each sample's gradient for the weight, then for the bias, `(b, ...)`, from kept inputs and output gradients."""
    if isinstance(layer, nn.Linear):
        back, inputs = (each.reshape(len(each), -1, each.shape[-1]).mT for each in (back, inputs))
    back, inputs = (each.reshape(*each.shape[:2], -1) for each in (back, inputs))
    yield back @ inputs.mT if isinstance(layer, nn.Conv2d | nn.Linear) else (back * inputs).sum(2)
    if layer.bias is not None:
        yield back.sum(2)


def masks(model: nn.Module) -> Mapping[str, Tensor]:
    """The weights that a defender's mask keeps: bool tensors by parameter name."""
    return {f"network.{name}": kept for name, _, kept in model.masked()} if isinstance(model, Defender) else {}


def places(parameters: Mapping[str, Tensor]) -> dict[str, slice]:
    """Where each parameter lies in a flat gradient."""
    found, first = {}, 0
    for name, parameter in parameters.items():
        found[name] = slice(first, first := first + parameter.numel())
    return found


def by_device(values: Mapping[str, int], tensor: Tensor) -> int:
    """The value for the type of the tensor's device; the smallest value for a type that is not listed."""
    return values.get(tensor.device.type, min(values.values()))


def logits(model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """The model's logits with these parameters."""
    outputs = functional_call(model, dict(parameters), (images,))
    return outputs[0] if isinstance(outputs, tuple) else outputs

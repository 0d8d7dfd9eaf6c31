"""A forward pass of a batch, from which each sample's own gradient by the parameters follows.

Of convolutions, linear layers and batch-norm: an ordinary backward pass to their outputs, then for each layer one batched
product of what went in and what came back (Goodfellow 2015; Rochette et al. 2019). Of any other network: torch.func.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from dau_lightning.network.defender import Defender

BLOCK_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}  # of gradients made at a time; on a CPU they stay in its cache


class Part(NamedTuple):
    """The gradients `(b, p)` of some samples of the batch by some of the flat parameters."""

    rows: slice
    columns: slice
    gradients: Tensor


class Samplewise:
    """Forward pass of a batch of images in the mode that the model is in, which must be that of evaluation.

    Args:
        model: gives logits `(B, K)`, or a tuple that starts with them.
        images: float `(B, C, H, W)`, or whatever else the model takes.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, self.images = model, images
        self.parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.places, self.masks = places(self.parameters), masks(model)
        self.calls: list[_Call] = []
        layers = _layers(model) if images.is_floating_point() else {}
        hooks = [layer.register_forward_hook(self._record) for layer in layers]
        try:
            with torch.enable_grad():
                images = images.detach().requires_grad_() if layers else images
                self.log_probabilities = logits(model, self.parameters, images).log_softmax(1)  # `(B, K)`
        finally:
            for hook in hooks:
                hook.remove()
        self.layers = layers if sorted(map(id, layers)) == sorted(id(call.layer) for call in self.calls) else {}

    @property
    def bytes(self) -> int:
        """Taken by what it keeps for the layers, and by the gradients by their outputs; 0 if it keeps nothing."""
        return sum(call.inputs.nbytes + 2 * call.outputs for call in self.calls) if self.layers else 0

    def _record(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        """Keep what the layer's gradient is made of, in a form that no operation in place can change."""
        kept, outputs = _kept(layer, inputs[0], outputs)
        if outputs.requires_grad and len(kept) == len(self.images):
            edge = torch.autograd.graph.get_gradient_edge(outputs)
            self.calls.append(_Call(layer, kept.detach(), edge, outputs.nbytes))
        return outputs

    def gradients(self, cotangents: Tensor) -> Iterator[Part]:
        """Each sample's gradient of `sum_k cotangents_k log p_k`, in parts that cover each sample and parameter once.

        Args:
            cotangents: `(B, K)`.
        """
        for rows, name, gradients in self._by_layers(cotangents) if self.layers else self._by_torch_func(cotangents):
            flat = gradients.flatten(1)
            yield Part(rows, self.places[name], flat * self.masks[name].flatten() if name in self.masks else flat)

    def _by_layers(self, cotangents: Tensor) -> Iterator[tuple[slice, str, Tensor]]:
        edges = [call.edge for call in self.calls]
        returned = torch.autograd.grad(self.log_probabilities, edges, cotangents, retain_graph=True)
        for call, back in zip(self.calls, returned, strict=True):
            names = self.layers[call.layer]
            block = max(1, of_device(BLOCK_BYTES, back) // sum(self.parameters[name].nbytes for name in names))
            for first in range(0, len(back), block):
                rows = slice(first, min(first + block, len(back)))
                for name, gradients in zip(names, _gradients(call.layer, call.inputs[rows], back[rows]), strict=True):
                    yield rows, name, gradients

    def _by_torch_func(self, cotangents: Tensor) -> Iterator[tuple[slice, str, Tensor]]:
        def of_sample(image: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
            def log_probabilities(parameters: Mapping[str, Tensor]) -> Tensor:
                return logits(self.model, parameters, image.unsqueeze(0)).log_softmax(1)[0]

            pull_back: Any = vjp(log_probabilities, self.parameters)[1]
            return pull_back(cotangent)[0]

        for name, gradients in vmap(of_sample)(self.images, cotangents).items():
            yield slice(0, len(gradients)), name, gradients


class _Call(NamedTuple):
    layer: nn.Module
    inputs: Tensor
    edge: Any
    outputs: int


def _layers(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Layers with parameters, weight before bias, and their names; none if the gradient of one of them is not known here."""
    layers = {
        layer: [f"{prefix}.{name}".lstrip(".") for name, _ in layer.named_parameters(recurse=False)]
        for prefix, layer in model.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    }
    names = [name for each in layers.values() for name in each]
    alone = sorted(names) == sorted(name for name, _ in model.named_parameters())  # no parameter of two layers
    return layers if alone and all(map(_is_known, layers)) else {}


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):
        return layer.running_mean is not None
    return type(layer) is nn.Linear


def _kept(layer: Any, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """What the parameters are multiplied with, and the output."""
    if isinstance(layer, nn.Conv2d):
        padding = cast(tuple[int, ...], layer.padding)
        return F.unfold(inputs.detach(), layer.kernel_size, layer.dilation, padding, layer.stride), outputs
    if isinstance(layer, nn.Linear):
        return inputs.detach().clone(), outputs
    shape = (-1,) + (1,) * (inputs.dim() - 2)
    mean, scale = layer.running_mean.view(shape), (layer.running_var + layer.eps).rsqrt().view(shape)
    slope = layer.weight.view(shape) * scale  # one product, also on the way back: the layer's own is slower
    return (inputs.detach() - mean) * scale, torch.addcmul(layer.bias.view(shape) - mean * slope, inputs, slope)


def _gradients(layer: Any, inputs: Tensor, back: Tensor) -> Iterator[Tensor]:
    """Of each sample by weight and bias `(b, ...)`; from what was kept, and the gradients by the outputs."""
    if isinstance(layer, nn.Linear):
        back, inputs = (each.reshape(len(each), -1, each.shape[-1]).mT for each in (back, inputs))
    back, inputs = (each.reshape(*each.shape[:2], -1) for each in (back, inputs))
    yield back @ inputs.mT if isinstance(layer, nn.Conv2d | nn.Linear) else (back * inputs).sum(2)
    if layer.bias is not None:
        yield back.sum(2)


def masks(model: nn.Module) -> Mapping[str, Tensor]:
    """Which weights a defender keeps, by the names of its parameters."""
    if not isinstance(model, Defender):
        return {}
    return {f"network.{name}": kept for name, _, kept in model.masked()}


def places(parameters: Mapping[str, Tensor]) -> dict[str, slice]:
    """Where the parameters lie in a flat gradient."""
    found, first = {}, 0
    for name, parameter in parameters.items():
        found[name] = slice(first, first := first + parameter.numel())
    return found


def of_device(values: Mapping[str, int], tensor: Tensor) -> int:
    """The value of a tensor's type of device, or the smallest."""
    return values.get(tensor.device.type, min(values.values()))


def logits(model: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """The logits that the model gives with these parameters."""
    outputs = functional_call(model, dict(parameters), (images,))
    return outputs[0] if isinstance(outputs, tuple) else outputs

"""The defender: a classifier that also returns its features (section 3.2) and keeps pruned weights at zero."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.base.nearest import did_you_mean


class Defender(nn.Module):
    """A classifier that also returns its features: by default the input of its last linear layer, whose output are the logits.

    Args:
        network: any module that maps images `(B, C, H, W)` to logits `(B, K)`, alone or as `logits_of` finds them.
        features: the name of a layer whose flattened output is used as features instead; None for the default.
        make_new: makes such a network with new weights, from torch's default generator; None for a network that nobody here
            can make, such as one given to `unlearn`.

    Raises:
        InputError: the network has no linear layer, or no layer called `features`.
    """

    def __init__(
        self, network: nn.Module, features: str | None = None, make_new: Callable[[], nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.network, self.make_new = network, make_new
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if not linear and features is None:
            raise InputError(
                f"network must end in a linear layer, {type(network).__name__} has none: "
                "name the layer whose output are the features with network.features"
            )
        self.num_features, self.num_classes = (linear[-1].in_features, linear[-1].out_features) if linear else (0, 0)
        self.mask: Mapping[str, Tensor] = {}  # see `set_mask`
        self._last = linear[-1:] if features is None else []  # in a list, so that its weights are not registered twice
        if features is None:
            linear[-1].register_forward_pre_hook(self._keep)
        else:
            self._layer(features).register_forward_hook(self._keep_output)

    def _layer(self, name: str) -> nn.Module:
        layers = dict(self.network.named_modules())
        if not name or name not in layers:
            hint = did_you_mean(name, layers) or f", such as {list(layers)[-1]!r}"
            raise InputError(f"network.features must name a layer of {type(self.network).__name__}, got {name!r}{hint}")
        return layers[name]

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]

    def _keep_output(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        self._features = output

    @torch.no_grad()
    def try_on(self, images: Tensor, num_classes: int) -> None:
        """Run the network once, in evaluation mode, to check it and to set `num_features` and `num_classes`.

        Args:
            images: float `(B, C, H, W)`.
            num_classes: the number of logits that the network must return.

        Raises:
            InputError: the network cannot take such images, does not return `num_classes` logits, gives no features, or
                returns other logits than the output of its last linear layer.
        """
        name, training, shape = type(self.network).__name__, self.training, "x".join(map(str, images.shape[1:]))
        self._features, last = None, list[Tensor]()
        watched = [layer.register_forward_hook(lambda _, __, output: last.append(output.clone())) for layer in self._last]
        try:
            logits = logits_of(self.eval().network(images), num_classes)
        except Exception as error:  # a user's own network can fail in any way
            takes = next((layer.in_channels for layer in self.network.modules() if isinstance(layer, nn.Conv2d)), None)
            other = takes in (1, 3) and takes != images.shape[1]
            advice = f": it takes {takes} channels, give dataset.channels={takes}" if other else ""
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"network {name} cannot take images of {shape} ({reason}){advice}") from error
        finally:
            self.train(training)
            for handle in watched:
                handle.remove()
        if not isinstance(logits, Tensor) or logits.shape != (len(images), num_classes):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"network {name} must give logits of {num_classes} classes, {(len(images), num_classes)}; got {got}"
            )
        if not isinstance(self._features, Tensor) or len(self._features) != len(images):
            raise InputError(f"network {name} must give features of each image: name another layer with network.features")
        if last and not (
            last[-1].numel() == logits.numel() and last[-1].reshape(logits.shape).allclose(logits, equal_nan=True)
        ):
            raise InputError(
                f"network {name} must return the output of its last linear layer as its logits, it returns something else: "
                "name the layer whose output are the features with network.features"
            )
        self.num_features, self.num_classes = self._features.flatten(1).shape[1], num_classes
        self._features = None

    def try_training_on_one(self, image: Tensor) -> None:
        """Check, on a copy of the network in training mode, that it can take a batch of one image, float `(1, C, H, W)`.

        Raises:
            InputError: it cannot, for example because batch-norm needs two values for each channel.
        """
        network, name = copy.deepcopy(self.network).train(), type(self.network).__name__
        try:
            network(image)
        except ValueError as error:
            raise InputError(
                f"network {name} cannot be trained on a batch of one image ({error}): choose a batch size of 2 or more"
            ) from error

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images float `(B, C, H, W)` to logits `(B, K)` and features `(B, D)`."""
        logits = logits_of(self.network(images), self.num_classes)
        features, self._features = self._features, None
        return logits, cast(Tensor, features).flatten(1)

    def set_mask(self, mask: Mapping[str, Tensor]) -> None:
        """Set the mask, and prune: now, and in every later call of `prune`.

        Args:
            mask: bool tensors by name of the network's parameters, True for the weights to keep; empty for a dense network.
        """
        self.mask = mask
        self.prune()

    @torch.no_grad()
    def prune(self) -> None:
        """Set the weights that the mask leaves out to exactly zero; call this after every change of the weights."""
        for _, weight, kept in self.masked():
            weight.masked_fill_(~kept, 0.0)

    def holds_mask(self) -> bool:
        """Whether every weight that the mask leaves out is exactly zero."""
        return not any(bool(weight[~kept].any()) for _, weight, kept in self.masked())

    def masked(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """For each parameter in the mask: its name, its weights, and the weights to keep (bool), on the same device."""
        for name, kept in self.mask.items():
            weight = self.network.get_parameter(name)
            if kept.device != weight.device:  # moved once: a copy at every step would hold up a GPU
                kept = kept.to(weight.device)
                self.mask = {**self.mask, name: kept}
            yield name, weight, kept


def logits_of(output: Any, num_classes: int) -> Any:
    """The logits in a network's output: the entry `logits` of a dict or object, or the first tensor `(B, K)` in it.

    Returns:
        float `(B, K)`; the output itself where it holds no such tensor.
    """
    if isinstance(output, Tensor):
        return output
    parts = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    if isinstance(logits := parts.get("logits", getattr(output, "logits", None)), Tensor):
        return logits
    several = parts.values() if parts else output if isinstance(output, tuple | list) else ()
    fitting = (part for part in several if isinstance(part, Tensor) and part.ndim == 2 and part.shape[1] == num_classes)
    return next(fitting, output)


def finite(module: nn.Module) -> bool:
    """Whether every parameter and buffer is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values())

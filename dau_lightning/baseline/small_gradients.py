"""MSG (second place of the NeurIPS 2023 unlearning challenge): redraw the weights whose gradients tell the sets least apart."""

from typing import Any

import torch
from torch import Tensor, nn

from dau_lightning.base.randomness import generator
from dau_lightning.dataset.images import Images
from dau_lightning.training.layer import convolutions
from dau_lightning.training.per_sample_gradient import unpruned
from dau_lightning.training.plain_pass import summed_gradient
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.weight_mask import largest, scale_gradients, with_parts


class SmallGradients(SGDMethod):
    """Redraws a share of each convolution's weights, then trains on the retain set; the convolutions' other weights slowly.

    The weights to redraw have the smallest `|mean grad CE(S) - mean grad CE(D_f)|`, S as many retain samples as `D_f` has, or
    all of them if there are fewer. Gradients are the original's, in evaluation mode and without augmentation. New weights are
    normal with Kaiming's variance (fan-out). Layers that are no convolution keep their weights, and train at the full rate, as
    do the biases of convolutions; `other_weight` does not scale weight decay. With `batch_norm="update"` the running
    statistics move to those of `D_r`.

    Args:
        share: share of a convolution's weights that are redrawn, in (0, 1]; pruned weights do not count.
        other_weight: factor of the gradients of the other weights of the convolutions.
        settings: see `SGDMethod`.

    Raises:
        InputError: the network has no convolution.
    """

    label = "MSG"

    def __init__(self, *, share: float, other_weight: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.share, self.other_weight = share, other_weight
        convolutions(self.defender.network, self.label)

    @torch.no_grad()
    def begin(self) -> None:
        """Redraw the weights, and remember the factor of each weight's gradient, `(P,)`."""
        retain, forget = self.data.part("retain"), self.data.part("forget")
        drawn = torch.randperm(len(retain), generator=generator(self.seed, self.phase, "samples"))[: len(forget)]
        gradient = (self._gradient(retain[drawn]) - self._gradient(forget)).abs()
        factors, draws = torch.ones_like(gradient), generator(self.seed, self.phase, "initialisation")
        kernels = convolutions(self.defender.network, self.label)
        for weight, size, kept, factor in with_parts(self.defender, gradient, unpruned(self.defender), factors):
            if any(weight is kernel.weight for kernel in kernels):
                small = largest(-size, kept, self.share)
                weight.copy_(torch.where(small, kaiming(weight, draws), weight))
                factor.copy_(torch.where(small, 1.0, self.other_weight))
        self.defender.prune()
        self.memory["factors"] = factors

    def _gradient(self, images: Images) -> Tensor:
        return summed_gradient(self.defender, images, self.data.transform) / len(images)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Multiply the gradients by their factors."""
        super().on_before_optimizer_step(optimizer)
        scale_gradients(self.defender, self.memory["factors"])


def kaiming(weight: Tensor, draws: torch.Generator) -> Tensor:
    """New weights of a convolution before a ReLU (He et al. 2015, fan-out), drawn on the CPU whatever the device."""
    fresh = torch.empty(weight.shape)
    nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu", generator=draws)
    return fresh.to(weight)

"""OMP, one-shot magnitude pruning (section 4.2; Ma et al. 2021): prunes a trained network's smallest convolution weights."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from dau_lightning.base.error import InputError


class OMP:
    """Finds the mask of a trained network; the original is then rewound to an early epoch and trained again with the mask.

    Args:
        amount: share of all convolution weights to prune, in [0, 1).
        rewind_epochs: number of dense epochs with which the training of the sparse original starts.
    """

    def __init__(self, amount: float, rewind_epochs: int) -> None:
        self.amount, self.rewind_epochs = float(amount), rewind_epochs

    def __call__(self, network: nn.Module) -> Mapping[str, Tensor]:
        """The mask: bool tensors by parameter name, False for the smallest weights over all layers together.

        Raises:
            InputError: the network has no convolution, or a convolution would lose every weight.
        """
        pruned = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # torch prunes flat views
        layers = {f"{name}.weight": module for name, module in pruned.named_modules() if isinstance(module, nn.Conv2d)}
        if not layers:
            raise InputError("sparsity prunes convolutions and this network has none: use sparsity=dense")
        prune.global_unstructured([(layer, "weight") for layer in layers.values()], prune.L1Unstructured, amount=self.amount)
        mask = {name: layer.get_buffer("weight_mask").bool() for name, layer in layers.items()}
        if emptied := [name for name, kept in mask.items() if not kept.any()]:
            raise InputError(
                f"sparsity.amount={self.amount:g} would prune every weight of {', '.join(emptied)}: choose a smaller amount"
            )
        return mask


def measured_sparsity(network: nn.Module) -> float:
    """The share of zeros among all convolution weights, in percent; 0 for a network without convolutions."""
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    zeros, count = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
    return 100 * zeros / max(count, 1)

"""CT (fifth place of the NeurIPS 2023 challenge): transpose every convolution kernel, then train on the retain set."""

from typing import Any

import torch

from dau_lightning.base.error import require
from dau_lightning.training.layer import convolutions
from dau_lightning.training.sgd import SGDMethod


class Transpose(SGDMethod):
    """SGD on the retain set after the two spatial axes of every convolution's kernel are exchanged.

    In a sparse network a weight that lands on a pruned place is lost. The running statistics of batch-norm no longer fit the
    transposed layers: with `batch_norm="update"` the training moves them to those of `D_r`.

    Raises:
        InputError: the network has no convolution, or one whose kernel is not square.
    """

    label = "CT"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for layer in convolutions(self.defender.network, self.label):
            height, width = layer.kernel_size
            require(height == width, f"CT needs square kernels, one is {height}x{width}: choose another baseline")

    @torch.no_grad()
    def begin(self) -> None:
        """Transpose the kernels."""
        for layer in convolutions(self.defender.network, self.label):
            layer.weight.copy_(layer.weight.transpose(2, 3).clone())
        self.defender.prune()

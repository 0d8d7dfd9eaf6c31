"""NoT (Khalil et al. 2025): negate the weights of the first convolution, then train on the retain set."""

from typing import Any

import torch

from dau_lightning.training.layer import convolutions
from dau_lightning.training.sgd import SGDMethod


class Negation(SGDMethod):
    """SGD on the retain set, as in FT, after the first convolution's weights (in a ViT the patch embedding's) are negated.

    Biases keep their sign. The running statistics of batch-norm no longer fit the negated layer: with `batch_norm="update"`
    the training moves them to those of `D_r`.

    Raises:
        InputError: the network has no convolution.
    """

    label = "NoT"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        convolutions(self.defender.network, self.label)

    @torch.no_grad()
    def begin(self) -> None:
        """Negate the layer."""
        convolutions(self.defender.network, self.label)[0].weight.neg_()

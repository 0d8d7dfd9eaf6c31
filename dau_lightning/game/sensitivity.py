"""The attacker's second input: how much a prediction changes when noise is added to the image (section 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from dau_lightning.base.devices import noise_like

Predict = Callable[[Tensor], Tensor]


class Sensitivity:
    """`s = (1 / n) sum_i |p(x + eps u_i) - p(x)|` per class, `u_i ~ N(0, I)` on normalised pixels.

    Args:
        copies: n; 0 gives zeros, without a pass through the defender.
        noise_scale: eps.
        divide: divide by eps, as SAMIA's code does; the paper prints no division.
        norm: the Euclidean norm over the classes, the same number for every class, instead of each class's own change.
        gradient: let the gradient pass through the noisy predictions and the prediction they are compared with.
        images_per_pass: noisy images in a pass of the defender, in whole copies of the batch, at least one copy. Batch
            statistics are those of a pass.
    """

    def __init__(self, copies: int, noise_scale: float, divide: bool, norm: bool, gradient: bool, images_per_pass: int) -> None:
        self.copies, self.noise_scale, self.divide, self.norm, self.gradient = copies, noise_scale, divide, norm, gradient
        self.images_per_pass = images_per_pass

    def __call__(self, predict: Predict, images: Tensor, probabilities: Tensor) -> Tensor:
        """The sensitivity, float `(B, K)`, at least 0.

        Args:
            predict: images `(B, C, H, W)` to probabilities `(B, K)`; float32 where `noise_scale` is below 0.05.
            images: normalised, `(B, C, H, W)`.
            probabilities: `predict(images)`, `(B, K)`.
        """
        total = torch.zeros_like(probabilities)
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            copies_per_pass = max(1, self.images_per_pass // len(images))
            for first in range(0, self.copies, copies_per_pass):
                count = min(copies_per_pass, self.copies - first)
                noisy = torch.cat([images + self.noise_scale * noise_like(images) for _ in range(count)])
                change = predict(noisy).unflatten(0, (count, -1)) - probabilities
                size = change.norm(dim=2, keepdim=True).expand_as(change) if self.norm else change.abs()
                total = total + size.sum(0)
        return total / (max(self.copies, 1) * (self.noise_scale if self.divide else 1.0))

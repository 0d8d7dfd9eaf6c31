"""The attacker's second input: how much a prediction changes when noise is added to the image (section 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from dau_lightning.base.devices import noise_like

Predict = Callable[[Tensor], Tensor]


class Sensitivity:
    """`s = (1 / n) sum_i |p(x + eps u_i) - p(x)|` for each class, with noise `u_i ~ N(0, I)` on normalised pixels.

    Args:
        copies: n, the number of noisy copies of each image; with 0 the sensitivity is zero and the defender is not run.
        noise_scale: eps, the standard deviation of the noise.
        divide: whether to divide `s` by eps, as SAMIA's code does; the paper prints no division.
        norm: whether every class gets the Euclidean norm of the change over all classes, instead of its own change.
        gradient: whether gradients flow to the defender through `p(x + eps u_i)` and `p(x)`.
        images_per_pass: the most noisy images in one forward pass. A pass holds whole copies of the batch, at least one,
            and batch-norm takes its batch statistics from the pass.
    """

    def __init__(self, copies: int, noise_scale: float, divide: bool, norm: bool, gradient: bool, images_per_pass: int) -> None:
        self.copies, self.noise_scale, self.divide, self.norm, self.gradient = copies, noise_scale, divide, norm, gradient
        self.images_per_pass = images_per_pass

    def __call__(self, predict: Predict, images: Tensor, probabilities: Tensor) -> Tensor:
        """The sensitivity, float `(B, K)`, at least 0.

        Args:
            predict: maps images `(B, C, H, W)` to probabilities `(B, K)`; in float32 if `noise_scale` is below 0.05.
            images: normalised images, `(B, C, H, W)`.
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

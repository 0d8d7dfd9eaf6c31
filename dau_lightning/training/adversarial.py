"""Changes of images that move a network towards another class: FGSM (Goodfellow et al. 2015) and PGD (Madry et al. 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.data.transform import Transform
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import eager, evaluating, float32, frozen

STEPS, STEPS_A_RADIUS = 50, 10  # of PGD to find a neighbour


def slope(defender: Defender, transform: Transform, pixels: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each image's cross-entropy with respect to its pixels, float32 `(B, C, H, W)`, in evaluation mode.

    Args:
        defender: its mode, weights and gradients do not change.
        transform: turns pixels into inputs.
        pixels: in [0, 1], float `(B, C, H, W)`.
        targets: int64 `(B,)`.
    """
    with torch.enable_grad(), evaluating(defender), frozen(defender), float32(pixels.device), eager():
        pixels = pixels.detach().requires_grad_()
        logits = defender(transform.standardise(pixels))[0].float()
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, targets, reduction="sum"), pixels)
    return gradient


def fgsm(defender: Defender, transform: Transform, pixels: Tensor, targets: Tensor, step: float) -> Tensor:
    """One step of `step` up the sign of each pixel's slope, within [0, 1]."""
    return (pixels + step * slope(defender, transform, pixels, targets).sign()).clamp(0, 1)


def pgd(
    defender: Defender, transform: Transform, pixels: Tensor, targets: Tensor, radius: float, steps: int, step: float
) -> Tensor:
    """Steps up the normalised slope, each projected onto the L2 ball around the image and onto [0, 1].

    Args:
        defender: the attacked network.
        transform: turns pixels into inputs.
        pixels: in [0, 1], float `(B, C, H, W)`.
        targets: int64 `(B,)`, the classes to move away from.
        radius: of the ball, in pixel units.
        steps: number of steps.
        step: length of a step, in pixel units.
    """
    moved = pixels
    for _ in range(steps):
        gradient = slope(defender, transform, moved, targets)
        change = moved + step * gradient / _norm(gradient).clamp(min=1e-12) - pixels
        moved = (pixels + change * (radius / _norm(change).clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)
    return moved


def _norm(images: Tensor) -> Tensor:
    """Each image's L2 norm, `(B, 1, 1, 1)`."""
    return images.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


@torch.no_grad()
def predicted(defender: Defender, transform: Transform, pixels: Tensor) -> Tensor:
    """The class of each image, int64 `(B,)`, in evaluation mode and float32; pixels are in [0, 1]."""
    with evaluating(defender), float32(pixels.device), eager():
        return defender(transform.standardise(pixels))[0].argmax(1)


def neighbours(
    defender: Defender, transform: Transform, pixels: Tensor, targets: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """Neighbours that the network takes for another class, by PGD in balls of twice and twice the radius, and these classes.

    An image without such a neighbour is left out.

    Args:
        defender: the attacked network.
        transform: turns pixels into inputs.
        pixels: in [0, 1], float `(B, C, H, W)`.
        targets: the true classes, int64 `(B,)`.
        radius: of the first ball, in pixel units.
    """
    moved, classes, left = pixels.clone(), targets.clone(), torch.arange(len(targets), device=targets.device)
    while len(left) and radius < 2 * pixels[0].numel() ** 0.5:  # a ball of half this radius holds all images
        moved[left] = pgd(defender, transform, pixels[left], targets[left], radius, STEPS, radius / STEPS_A_RADIUS)
        classes[left] = predicted(defender, transform, moved[left])
        left, radius = left[classes[left] == targets[left]], 2 * radius
    wrong = classes != targets
    return moved[wrong], classes[wrong]

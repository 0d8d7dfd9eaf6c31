"""A forward pass over a part, as in an evaluation: every image once, not augmented, in evaluation mode and float32."""

from functools import reduce

import torch
from torch import Tensor

from dau_lightning.data.loader import EVALUATION_BATCH_SIZE, PlainLoader
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import eager, evaluating, float32
from dau_lightning.training.per_sample_gradient import squared_gradients, weighted_gradient


@torch.no_grad()
def plain_logits(defender: Defender, images: Images, transform: Transform) -> Tensor:
    """The defender's logits for each image, float32 `(N, K)`.

    Args:
        defender: has the same mode after the call.
        images: on the defender's device.
        transform: turns pixels into inputs.
    """
    with evaluating(defender), float32(images.device), eager():
        return torch.cat([defender(batch.images)[0].float() for batch in PlainLoader(images, transform)])


def correct(defender: Defender, images: Images, transform: Transform) -> Tensor:
    """Whether the defender classifies each image correctly, bool `(N,)`; see `plain_logits`."""
    return plain_logits(defender, images, transform).argmax(1) == images.targets


def accuracy(defender: Defender, images: Images, transform: Transform) -> float:
    """The share of images that the defender classifies correctly; see `plain_logits`."""
    return float(correct(defender, images, transform).double().mean())


def accuracy_as_in(defender: Defender, images: Images, transform: Transform, targets: Tensor) -> float:
    """The accuracy on images whose classes count as often as they occur in `targets`, int64 `(M,)`.

    A class without an image is left out; one class at least must have images.
    """
    classes, right = defender.num_classes, correct(defender, images, transform)
    seen, hits = (images.targets[where].bincount(minlength=classes).double() for where in (slice(None), right))
    wanted = targets.bincount(minlength=classes) * (seen > 0)
    return float((wanted * hits / seen.clamp(min=1)).sum() / wanted.sum())


def accuracy_on_wrong_labels(unseen: float, classes: int) -> float:
    """The share of wrong labels, drawn from the other classes, that a model predicts; see `metric.selection`.

    Args:
        unseen: its accuracy on unseen images with right labels, in [0, 1].
        classes: K.

    >>> accuracy_on_wrong_labels(0.75, 6)
    0.05
    """
    return (1 - unseen) / (classes - 1)


def summed_gradient(defender: Defender, images: Images, transform: Transform) -> Tensor:
    """The sum of the gradients of the cross-entropy over all images, without augmentation, float64 `(P,)`."""
    size = EVALUATION_BATCH_SIZE
    batches = zip(images.blocks(size), images.targets.split(size), strict=True)
    sums = (weighted_gradient(defender, transform.normalise(some), t, torch.ones_like(t)) for some, t in batches)
    return reduce(torch.add, sums)


def mean_squared_gradient(defender: Defender, images: Images, transform: Transform) -> Tensor:
    """The mean squared gradient of a single image's cross-entropy with its own label, without augmentation, `(P,)`."""
    sums = (squared_gradients(defender, *batch) for batch in PlainLoader(images, transform))
    return reduce(torch.add, sums) / len(images)

"""Checks, before anything is done, that given weights fit the images: a trained network is right on its training images."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.draw import stratified
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender

FEW_HUNDRED = 512
PER_CLASS, MOST = 5, 2000  # images, where there are many classes
BATCH = 64
CERTAIN = 90.0  # percent: an accuracy that an untrained network seldom has in any order of the classes
ORDER_GAIN = 10.0  # points of accuracy by which another order of the classes must be better
GAIN = 20.0  # points of accuracy by which another normalisation must be better
# Normalisations in use: ImageNet's, [-1, 1], none, CIFAR's, pixels in 0..255; with one channel, the mean of the three.
NORMALISATIONS = (
    ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]),
    ([0.0, 0.0, 0.0], [0.00392157, 0.00392157, 0.00392157]),
)


def trained_accuracy(num_classes: int) -> float:
    """The accuracy on its training images, in percent, below which a network does not look trained: halfway from chance."""
    return 50 + 50 / num_classes


def fit_warnings(
    defender: Defender, train: Images, transform: Transform, seed: int, device: torch.device, turned: tuple[int, int]
) -> list[str]:
    """Warnings about a network that does not fit the images, with what to look at; prints how many images it is right on.

    Args:
        defender: the network with the given weights; it is moved to the device and back.
        train: `D`, which the network was trained on.
        transform: normalises the images.
        seed: decides which images are looked at.
        device: runs the network.
        turned: numbers of images that were turned as their EXIF data say, and that were left although they say it.

    Raises:
        InputError: the network is right on nearly all images if its classes stand in another order.
    """
    names = train.class_names
    count = min(len(train), max(FEW_HUNDRED, min(PER_CLASS * len(names), MOST)))
    some = train[stratified(train.targets, count, generator(seed, "fit check")).sort().values]
    logits = _logits(defender, some.images, transform, device)
    found = []
    if bool(((logits >= 0) & (logits <= 1)).all()):
        last = "softmax" if torch.allclose(logits.sum(1), torch.ones(count), atol=1e-4) else "sigmoid"
        found.append(f"the network returns probabilities ({last}), not logits: return the values before the {last}")
    accuracy = _accuracy(logits.argmax(1), some.targets)
    print(f"original: right on {accuracy:.1f}% of {count:,} training images")
    order = _order(logits.argmax(1), some, accuracy)
    right = f"the original is right on {accuracy:.1f}% of {count} of its training images"
    if accuracy >= trained_accuracy(len(names)):
        return [*found, *([f"{right}: look at {order}"] if order else [])]
    chance = 100 / len(names)
    near = f"near chance ({chance:.1f})" if accuracy < chance + (100 - chance) / 10 else "far below that of a trained network"
    size = " x ".join(map(str, some.shape[2:]))
    exif = f"{turned[0]:,} were turned here: dataset.exif=false" if turned[0] else ""
    exif = f"{turned[1]:,} were not turned here: dataset.exif=true" if turned[1] else exif
    look = [
        order or f"the order of the classes ({', '.join(names[:3])} ...: dataset.classes)",
        _normalisation(defender, some, transform, device, accuracy),
        f"dataset.image_size ({size} pixels)",
        *([f"whether training turned images by EXIF data ({exif})"] if exif else []),
        "whether the network returns logits",
        "whether these weights were trained at all",
    ]
    return [*found, f"{right}, {near}: look at {'; '.join(look)}"]


@torch.no_grad()
def _logits(defender: Defender, images: Tensor, transform: Transform, device: torch.device) -> Tensor:
    """Logits in evaluation mode, float `(N, K)` on the CPU."""
    training = defender.training
    defender.eval().to(device)
    made = [defender(transform.normalise(batch.to(device)))[0].float().cpu() for batch in images.split(BATCH)]
    defender.train(training).to("cpu")
    return torch.cat(made)


def _accuracy(predicted: Tensor, targets: Tensor) -> float:
    return 100 * float((predicted == targets).double().mean())


def _order(predicted: Tensor, some: Images, accuracy: float) -> str | None:
    """What to say about the order of the classes: the one with which the network is clearly better; None if none is.

    Raises:
        InputError: with that order, the network is right on nearly all images.
    """
    names, classes = some.class_names, len(some.class_names)
    orders = [sorted(range(classes), key=lambda i: _natural(names[i])), sorted(range(classes), key=lambda i: names[i].lower())]
    if len(some) >= PER_CLASS * classes:
        confusion = np.zeros((classes, classes), int)
        np.add.at(confusion, (predicted.numpy(), some.targets.numpy()), 1)
        orders.append(linear_sum_assignment(confusion, maximize=True)[1].tolist())
    would, order = max((_accuracy(torch.tensor(order)[predicted], some.targets), order) for order in orders)
    if would < max(trained_accuracy(classes), accuracy + ORDER_GAIN):
        return None
    given = ",".join(names[i] if re.fullmatch(r"\w+", names[i]) else f"'{names[i]}'" for i in order)
    if would >= CERTAIN:
        raise InputError(
            f"the original is right on {accuracy:.1f}% of {len(some)} of its training images, and on {would:.1f}% if its "
            f'classes stand in another order: give "dataset.classes=[{given}]", or number the labels in this order'
        )
    return f"the order of the classes ({would:.1f}% with dataset.classes=[{given}])"


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers within names as numbers, as timm does: 1, 2, 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name) if part]


def _normalisation(defender: Defender, some: Images, transform: Transform, device: torch.device, accuracy: float) -> str:
    """What to say about the normalisation: the one in use with which the network is much better, if there is one."""
    said, best = f"transform.mean and std ({_list(transform.mean)} and {_list(transform.std)})", accuracy + GAIN
    for mean, std in NORMALISATIONS:
        if some.shape[1] == 1:
            mean, std = [round(sum(mean) / 3, 4)], [round(sum(std) / 3, 4)]
        if some.shape[1] == len(mean):
            other = replace(transform, mean=tuple(mean), std=tuple(std))
            would = _accuracy(_logits(defender, some.images, other, device).argmax(1), some.targets)
            if would > best:
                best = would
                said = f"transform.mean={_list(mean)} transform.std={_list(std)}, with which it is right on {would:.1f}%"
    return said


def _list(values: Sequence[float]) -> str:
    return f"[{','.join(f'{value:g}' for value in values)}]"

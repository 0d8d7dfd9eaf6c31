from collections.abc import Callable

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.random import random


def drawn(train: Images, seed: int, fraction: float) -> list[int]:
    mask = random(train, torch.Generator().manual_seed(seed), fraction)
    assert mask.shape == (len(train),)
    assert mask.dtype == torch.bool
    return mask.nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("fraction", "count"),
    [(0.1, 20), (0.5, 100), (0.001, 1), (0.017, 3), (0.018, 4)],  # 3.4 and 3.6 are rounded
)
def test_count(make_images: Callable[..., Images], fraction: float, count: int) -> None:
    assert len(drawn(make_images(50), 0, fraction)) == count


def test_ten_percent_of_cifar() -> None:
    targets = torch.arange(45_000) % 10
    train = Images(torch.empty(45_000, 0, dtype=torch.uint8), targets, tuple("0123456789"), tuple(map(str, range(45_000))))
    assert len(drawn(train, 0, 0.1)) == 4500


def test_draw_depends_on_the_generator_alone(make_images: Callable[..., Images]) -> None:
    train = make_images(50)
    torch.manual_seed(0)
    first = drawn(train, 0, 0.1)
    torch.manual_seed(1)
    assert drawn(train, 0, 0.1) == first
    assert drawn(train, 1, 0.1) != first


def test_draw_is_uniform_and_not_balanced(make_images: Callable[..., Images]) -> None:
    train, counts, classes = make_images(10), torch.zeros(40), set()
    for seed in range(200):
        index = torch.tensor(drawn(train, seed, 0.25))
        counts[index] += 1
        classes.add(tuple(train.targets[index].bincount(minlength=4).tolist()))
    assert counts.min() > 25  # 50 expected, standard deviation 6
    assert counts.max() < 75
    assert len(classes) > 10


@pytest.mark.parametrize("fraction", [0.999, 0.99])
def test_a_class_must_keep_a_sample(make_images: Callable[..., Images], fraction: float) -> None:
    with pytest.raises(InputError, match=f"scheme.fraction must leave every class .* {fraction} takes all of class"):
        drawn(make_images(10), 0, fraction)


def test_names_at_most_five_emptied_classes(make_images: Callable[..., Images]) -> None:
    with pytest.raises(InputError, match=r"all of class 0, class 1, class 2, class 3, class 4$"):
        drawn(make_images(1, num_classes=8), 0, 0.999)


def test_only_classes_with_samples_count(make_images: Callable[..., Images]) -> None:
    train = make_images(10)
    assert len(drawn(train[torch.arange(10)], 0, 0.5)) == 5

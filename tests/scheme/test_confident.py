from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.confident import Confident


def scored(images: Images) -> Images:
    """Scores in another order than the images."""
    return replace(images, scores=(7 * torch.arange(len(images)) % len(images)).double())


def test_it_takes_the_largest_margins(make_images: Callable[..., Images]) -> None:
    train = scored(make_images(10))
    scheme = Confident(0.25)
    mask = scheme(train, torch.Generator())
    assert train.scores is not None
    assert sorted(train.scores[mask].tolist()) == list(range(30, 40))
    assert list(scheme.how) == [train.ids[(train.scores == score).nonzero().item()] for score in range(39, 29, -1)]
    assert scheme.found == {"chosen_by": "the largest margins of the original"}


def test_scores_go_with_their_images(make_images: Callable[..., Images]) -> None:
    some = scored(make_images(10))[torch.tensor([3, 1, 2])]
    assert some.scores is not None
    assert some.scores.tolist() == [21, 7, 14]


@pytest.mark.parametrize("fraction", [None, 1.0, 0.0])
def test_the_fraction_is_checked(make_images: Callable[..., Images], fraction: float | None) -> None:
    with pytest.raises(InputError, match=r"scheme\.fraction must be a number above 0 and below 1"):
        Confident(fraction)(scored(make_images(10)), torch.Generator())


def test_a_class_must_keep_a_sample(make_images: Callable[..., Images]) -> None:
    train = replace(make_images(10), scores=torch.arange(40).double())  # the last class is the surest
    with pytest.raises(InputError, match=r"must leave every class a sample to retain, 0\.25 takes all of class 3"):
        Confident(0.25)(train, torch.Generator())


def test_without_scores_nothing_is_chosen(make_images: Callable[..., Images]) -> None:
    with pytest.raises(ValueError, match="train must have scores"):
        Confident(0.1)(make_images(10), torch.Generator())

from collections.abc import Callable
from functools import partial

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.corruption.wrong_labels import wrong_labels
from dau_lightning.data.split import make_split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.scheme.corrupted import Corrupted
from dau_lightning.scheme.random import random


@pytest.fixture
def data(make_images: Callable[..., Images]) -> Data:
    return Data(make_images(100), make_images(10, name="test"))


def changed(images: Images) -> torch.Tensor:
    assert images.corrupted is not None
    return images.corrupted


def test_the_marked_images_and_no_others_have_another_label(make_images: Callable[..., Images]) -> None:
    clean = make_images(300)
    dirty = wrong_labels(clean, generator(0), 0.25)
    assert torch.equal(dirty.targets != clean.targets, changed(dirty))
    assert int(changed(dirty).sum()) == 300
    assert dirty.images is clean.images
    assert dirty.ids == clean.ids


def test_every_other_class_is_equally_likely(make_images: Callable[..., Images]) -> None:
    clean = make_images(300)
    dirty = wrong_labels(clean, generator(0), 1.0)
    moved = torch.bincount((dirty.targets - clean.targets) % 4, minlength=4)
    assert moved[0] == 0
    assert moved[1:].min() > 340  # 400 expected, standard deviation 16


def test_the_seed_decides(make_images: Callable[..., Images]) -> None:
    first, again, other = (wrong_labels(make_images(50), generator(seed), 0.1).targets for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_image_at_least(make_images: Callable[..., Images]) -> None:
    assert int(changed(wrong_labels(make_images(10), generator(0), 1e-6)).sum()) == 1


def test_one_class_has_no_other(make_images: Callable[..., Images]) -> None:
    with pytest.raises(InputError, match="needs at least two classes"):
        wrong_labels(make_images(10, num_classes=1), generator(0), 0.1)


@pytest.mark.parametrize("val_from_test", [None, 0.5])
def test_only_D_is_changed(data: Data, val_from_test: float | None) -> None:
    split = partial(make_split, data, seed=0, selection=True, val_from_test=val_from_test)
    clean = split(scheme=partial(random, fraction=0.1))
    dirty = split(scheme=Corrupted(True), corruption=partial(wrong_labels, share=0.1))
    for part in ("val", "judge", "judge_nonmembers", "test_retain", "test_forget"):
        ours, theirs = getattr(dirty, part), getattr(clean, part)
        assert ours.ids == theirs.ids
        assert torch.equal(ours.targets, theirs.targets)
    assert dirty.train.ids == clean.train.ids
    assert dirty.forget.ids == clean.train[(dirty.train.targets != clean.train.targets).nonzero().flatten()].ids
    assert len(dirty.forget) == len(clean.forget)


def test_it_enters_the_data_hash(data: Data) -> None:
    scheme = partial(random, fraction=0.1)
    hashes = {make_split(data, scheme, 0, corruption=partial(wrong_labels, share=share)).data_hash for share in (0.1, 0.2)}
    assert len(hashes | {make_split(data, scheme, 0).data_hash}) == 3

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.loader import JointLoader
from dau_lightning.data.split import Split, make_split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Data, Images
from dau_lightning.scheme.random import random

AUGMENTED = Transform((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), crop_padding=1, flip=True)
SIZES = {"retain": 8, "forget": 4, "val": 6}


def joint(part: Callable[[str], Images], *settings: Any) -> JointLoader:
    """As a method makes its batches."""
    return JointLoader({name: part(name) for name in SIZES}, SIZES, *settings)


@pytest.fixture
def split(make_images: Callable[..., Images]) -> Split:
    return make_split(Data(make_images(10), make_images(3, name="test")), partial(random, fraction=0.25), seed=0)


def test_module_gives_joint_batches_of_the_split(split: Split) -> None:
    data = UnlearningDataModule(split, AUGMENTED, 3, joint)
    expected = JointLoader({name: getattr(split, name) for name in SIZES}, SIZES, AUGMENTED, seed=3)
    for found, batch in zip(data.train_dataloader(), expected, strict=True):
        for name in SIZES:
            assert all(map(torch.equal, found[name], batch[name]))
    assert data.test_dataloader() == []


def test_module_tests_parts_in_the_given_order(split: Split) -> None:
    data = UnlearningDataModule(split, AUGMENTED, 0, evaluate=("test_retain", "forget", "retain"))
    loaders = data.test_dataloader()
    for loader, name in zip(loaders, ("test_retain", "forget", "retain"), strict=True):
        assert torch.equal(torch.cat([targets for _, targets in loader]), getattr(split, name).targets)


def test_module_leaves_batches_where_they_are(split: Split) -> None:
    data = UnlearningDataModule(split, AUGMENTED, 0, joint)
    batch = next(iter(data.train_dataloader()))
    assert data.transfer_batch_to_device(batch, torch.device("meta"), 0) is batch
    assert data.part("forget").ids == split.forget.ids

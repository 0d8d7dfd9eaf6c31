import pytest
import torch
from sklearn.datasets import load_digits

from dau_lightning.base.error import InputError
from dau_lightning.dataset.digits import digits


def test_sizes_types_and_values() -> None:
    data, (flat, labels) = digits(None, None, 0), load_digits(return_X_y=True)
    assert (len(data.train), len(data.test), data.val) == (1347, 450, None)
    for part in (data.train, data.test):
        assert part.images.shape == (len(part), 1, 8, 8)
        assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
        assert part.class_names == tuple("0123456789")
        rows = [int(i) for i in part.ids]
        assert part.targets.tolist() == labels[rows].tolist()
        assert (part.images.flatten(1).double() / 255 * 16 - torch.from_numpy(flat[rows])).abs().max() < 0.04


def test_train_and_test_are_disjoint_and_all_there_is() -> None:
    data = digits(None, None, 0)
    assert sorted(data.train.ids + data.test.ids) == [f"{i:04d}" for i in range(1797)]


def test_the_test_set_is_balanced_and_the_same_for_every_seed() -> None:
    first, other = digits(None, None, 0), digits(None, None, 1)
    assert first.test.ids == other.test.ids
    assert first.train.ids == other.train.ids
    assert first.test.targets.bincount().tolist() == [45] * 10


def test_limits_are_balanced_and_drawn_from_the_seed() -> None:
    first, again, other = digits(105, 21, 0), digits(105, 21, 0), digits(105, 21, 1)
    assert (len(first.train), len(first.test)) == (105, 21)
    for part in (first.train, first.test):
        counts = part.targets.bincount()
        assert counts.max() - counts.min() <= 1
    assert (first.train.ids, first.test.ids) == (again.train.ids, again.test.ids)
    assert first.train.ids != other.train.ids
    assert first.test.ids != other.test.ids


def test_a_limit_below_ten_is_refused() -> None:
    with pytest.raises(InputError, match=r"^dataset\.train_limit: "):
        digits(9, None, 0)
    with pytest.raises(InputError, match=r"^dataset\.test_limit: "):
        digits(None, 9, 0)

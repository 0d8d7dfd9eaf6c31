from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.classwise import classwise


def marked(train: Images, target: int | str | Sequence[int | str] | None, seed: int = 0) -> list[int]:
    """The classes of the marked samples, which must be all samples of them."""
    mask = classwise(train, torch.Generator().manual_seed(seed), target)
    assert mask.shape == (len(train),)
    assert mask.dtype == torch.bool
    inside, outside = set(train.targets[mask].tolist()), set(train.targets[~mask].tolist())
    assert not inside & outside
    return sorted(inside)


def named(*names: str) -> Images:
    targets = torch.arange(len(names)).repeat(3)
    return Images(torch.zeros(len(targets), 1, 2, 2, dtype=torch.uint8), targets, names, tuple(map(str, range(len(targets)))))


def test_index_and_name(make_images: Callable[..., Images]) -> None:
    train = make_images(5)
    for label in range(4):
        assert marked(train, label) == [label]
        assert marked(train, f"class {label}") == [label]


def test_count(make_images: Callable[..., Images]) -> None:
    assert int(classwise(make_images(7), torch.Generator(), 2).sum()) == 7


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (7, 0),  # Hydra reads "7" as a number
        ("7", 0),
        ("0", 2),
        (1, 1),  # no class is called so: the index
        ("dog", 1),
    ],
)
def test_a_name_wins_over_an_index(target: int | str, label: int) -> None:
    assert marked(named("7", "dog", "0"), target) == [label]


@pytest.mark.parametrize("names", [("01", "02", "03"), ("1", "10", "2")])
def test_a_number_that_is_one_class_by_name_and_another_by_index_is_refused(names: tuple[str, ...]) -> None:
    message = f"1 can be class '{names[0]}', or index 1, which is class '{names[1]}'"
    for target in (1, [names[2], 1]):
        with pytest.raises(InputError, match=message):
            marked(named(*names), target)
    assert marked(named(*names), names[0]) == [0]
    assert marked(named("00", "01", "02"), 1) == [1]


def test_no_target_draws_one_from_the_seed(make_images: Callable[..., Images]) -> None:
    train = make_images(3)
    drawn = [marked(train, None, seed) for seed in range(40)]
    assert drawn == [marked(train, None, seed) for seed in range(40)]
    assert sorted({label for (label,) in drawn}) == [0, 1, 2, 3]


def test_a_target_does_not_depend_on_the_seed(make_images: Callable[..., Images]) -> None:
    train = make_images(3)
    assert [marked(train, 2, seed) for seed in range(10)] == [[2]] * 10


@pytest.mark.parametrize("target", [-1, 4, 100])
def test_an_index_out_of_range(make_images: Callable[..., Images], target: int) -> None:
    with pytest.raises(InputError, match=rf"scheme.target must be a class index in \[0, 3\] or one of .*; got {target}$"):
        marked(make_images(3), target)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"one of cat, horse, ship; got 'hose'; did you mean 'horse'\?$"):
        marked(named("cat", "horse", "ship"), "hose")


def test_several_classes_by_name_and_index(make_images: Callable[..., Images]) -> None:
    assert marked(make_images(3), [2, "class 0", 2]) == [0, 2]
    with pytest.raises(InputError, match="got 'class 9'"):
        marked(make_images(3), [1, "class 9"])


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 4), (0.3, 2), (0.01, 1)])
def test_a_fraction_of_each_class_drawn_from_the_seed(make_images: Callable[..., Images], fraction: float, count: int) -> None:
    train = make_images(8)
    masks = [classwise(train, torch.Generator().manual_seed(seed), [1, 3], fraction) for seed in (0, 0, 1)]
    assert train.targets[masks[0]].bincount(minlength=4).tolist() == [0, count, 0, count]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_labels_of_another_level(make_images: Callable[..., Images]) -> None:
    train = make_images(3)
    coarse = train.targets // 2, ("first", "second")
    levels = {"fine": (train.targets, train.class_names), "coarse": coarse}
    whole = replace(train, levels=levels)
    assert train.targets[classwise(whole, torch.Generator(), "second", level="coarse")].unique().tolist() == [2, 3]
    twenty = replace(whole, targets=coarse[0], class_names=coarse[1])
    mask = classwise(twenty, torch.Generator(), "class 3", level="fine")
    assert train.targets[mask].unique().tolist() == [3]
    assert twenty.targets[~mask].unique().tolist() == [0, 1]  # a subclass: no class is emptied
    with pytest.raises(InputError, match=r"scheme\.level must be fine or coarse; got 'middle'"):
        classwise(whole, torch.Generator(), 1, level="middle")
    with pytest.raises(InputError, match=r"scheme\.level must be null: the data set has labels of one level"):
        classwise(train, torch.Generator(), 1, level="fine")
    part = whole[torch.tensor([7, 1])]
    assert part.levels["coarse"][0].tolist() == [1, 0]


def test_a_far_name_suggests_nothing() -> None:
    with pytest.raises(InputError, match=r"one of cat, horse, ship; got 'zzz'$"):
        marked(named("cat", "horse", "ship"), "zzz")


def test_a_long_list_of_names_is_cut(make_images: Callable[..., Images]) -> None:
    with pytest.raises(InputError, match=r"one of class 0, .*, class 9, \.\.\.; got 'zzz'$"):
        marked(make_images(1, num_classes=12), "zzz")

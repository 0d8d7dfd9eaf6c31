from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.data.split import Split, emptied_classes, make_split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.scheme.classwise import classwise
from dau_lightning.scheme.random import random

RANDOM = partial(random, fraction=0.25)
CLASS_2 = partial(classwise, target=2)


@pytest.fixture
def data(make_images: Callable[..., Images]) -> Data:
    """80 training and 8 test images of each of four classes."""
    return Data(make_images(80), make_images(8, name="test"))


@pytest.fixture
def own(data: Data, make_images: Callable[..., Images]) -> Data:
    """The same with a val set of its own."""
    return replace(data, val=make_images(5, name="val"))


def counts(images: Images) -> list[int]:
    return images.targets.bincount(minlength=4).tolist()


def other_pixel(images: Images) -> Images:
    pixels = images.images.clone()
    pixels[0, 0, 0, 0] ^= 1
    return replace(images, pixels=pixels, rows=None)


def other_label(images: Images) -> Images:
    targets = images.targets.clone()
    targets[0] = 3 - targets[0]
    return replace(images, targets=targets)


@pytest.mark.parametrize("scheme", [RANDOM, CLASS_2])
@pytest.mark.parametrize("selection", [True, False])
def test_retain_and_forget_partition_train(data: Data, scheme: partial, selection: bool) -> None:
    split = make_split(data, scheme, 0, selection)
    assert len(split.train) == 288
    assert sorted(split.retain.ids + split.forget.ids) == sorted(split.train.ids)
    assert sorted(split.train.ids + make_split(data, scheme, 0).val.ids) == sorted(data.train.ids)
    assert len(split.forget) == 72


@pytest.mark.parametrize("selection", [True, False])
def test_every_sample_keeps_its_pixels_label_and_id(data: Data, selection: bool) -> None:
    split = make_split(data, CLASS_2, 0, selection)
    official = {
        name: row for part in (data.train, data.test) for name, *row in zip(part.ids, part.images, part.targets, strict=True)
    }
    for name in ("train", "retain", "forget", "val", "judge", "judge_nonmembers", "test_retain", "test_forget"):
        part: Images = getattr(split, name)
        assert part.class_names == data.train.class_names
        for identity, image, target in zip(part.ids, part.images, part.targets, strict=True):
            assert torch.equal(official[identity][0], image)
            assert official[identity][1] == target


def test_val_is_a_class_balanced_tenth(data: Data) -> None:
    split = make_split(data, RANDOM, 0)
    assert counts(split.val) == [8] * 4
    assert counts(split.train) == [72] * 4
    assert not set(split.val.ids) & set(split.train.ids)


def test_train_and_val_depend_on_the_seed_and_not_on_the_scheme(data: Data) -> None:
    first = make_split(data, RANDOM, 0)
    for scheme in (CLASS_2, partial(random, fraction=0.5), partial(classwise, target=None)):
        other = make_split(data, scheme, 0)
        assert (other.train.ids, other.val.ids, other.data_hash) == (first.train.ids, first.val.ids, first.data_hash)
        assert other.split_hash != first.split_hash
    other = make_split(data, RANDOM, 1)
    assert set(other.val.ids) != set(first.val.ids)
    assert other.data_hash != first.data_hash


def test_split_is_a_function_of_its_arguments(data: Data) -> None:
    torch.manual_seed(0)
    first = make_split(data, RANDOM, 0, selection=True)
    torch.manual_seed(1)
    second = make_split(data, RANDOM, 0, selection=True)
    for name in Split.__dataclass_fields__:
        ids = [getattr(part, "ids", part) for part in (getattr(first, name), getattr(second, name))]
        assert ids[0] == ids[1]


def test_the_scheme_sees_train_and_the_seed(data: Data) -> None:
    for seed in (0, 1):
        split = make_split(data, RANDOM, seed)
        mask = random(split.train, generator(seed, "scheme"), 0.25)
        assert set(split.forget.ids) == {split.train.ids[i] for i in mask.nonzero().flatten().tolist()}
    assert set(make_split(data, RANDOM, 0).forget.ids) != set(make_split(data, RANDOM, 1).forget.ids)


def test_own_val_set_is_used_as_it_is(own: Data) -> None:
    for seed in (0, 1):
        split = make_split(own, RANDOM, seed)
        assert split.train.ids == own.train.ids
        assert own.val is not None
        assert split.val.ids == own.val.ids
        assert torch.equal(split.val.images, own.val.images)


def test_random_scheme_tests_every_class(data: Data) -> None:
    split = make_split(data, RANDOM, 0)
    assert split.test_retain.ids == data.test.ids
    assert len(split.test_forget) == 0
    assert emptied_classes(split) == []


def test_classwise_scheme_tests_the_forgotten_class_apart(data: Data) -> None:
    split = make_split(data, CLASS_2, 0)
    assert counts(split.test_retain) == [8, 8, 0, 8]
    assert counts(split.test_forget) == [0, 0, 8, 0]
    assert counts(split.retain) == [72, 72, 0, 72]
    assert counts(split.forget) == [0, 0, 72, 0]
    assert emptied_classes(split) == ["class 2"]


def test_a_class_with_one_retain_sample_left_is_retained(data: Data) -> None:
    def all_but_one(train: Images, _: torch.Generator) -> Tensor:
        mask = train.targets == 1
        mask[mask.nonzero()[0]] = False
        return mask

    split = make_split(data, all_but_one, 0)
    assert counts(split.test_retain) == [8] * 4
    assert emptied_classes(split) == []


def test_several_forgotten_classes(data: Data) -> None:
    split = make_split(data, lambda train, _: train.targets >= 2, 0)
    assert counts(split.test_forget) == [0, 0, 8, 8]
    assert emptied_classes(split) == ["class 2", "class 3"]


# Hashes


@pytest.mark.parametrize("change", [other_pixel, other_label])
@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_data_hash_covers_every_set(own: Data, name: str, change: Callable[[Images], Images]) -> None:
    split = make_split(own, RANDOM, 0)
    other = make_split(replace(own, **{name: change(getattr(own, name))}), RANDOM, 0)
    assert other.data_hash != split.data_hash
    assert other.split_hash != split.split_hash


def test_data_hash_covers_names(data: Data) -> None:
    split = make_split(data, RANDOM, 0)
    renamed = replace(data, train=replace(data.train, class_names=("a", "b", "c", "d")))
    moved = replace(data, train=replace(data.train, ids=tuple(f"x/{name}" for name in data.train.ids)))
    hashes = {make_split(other, RANDOM, 0).data_hash for other in (data, renamed, moved)}
    assert len(hashes) == 3
    assert split.data_hash in hashes


def test_data_hash_covers_where_val_comes_from(data: Data) -> None:
    held = make_split(data, RANDOM, 0)
    other = make_split(Data(held.train, data.test, held.val), RANDOM, 0)
    assert (other.train.ids, other.val.ids) == (held.train.ids, held.val.ids)
    assert other.data_hash != held.data_hash  # the official training set is another


def test_hash_does_not_depend_on_memory_layout(data: Data) -> None:
    pixels = data.train.images.contiguous(memory_format=torch.channels_last)
    other = replace(data, train=replace(data.train, pixels=pixels, rows=None))
    assert make_split(other, RANDOM, 0).data_hash == make_split(data, RANDOM, 0).data_hash


def test_split_hash_covers_what_is_forgotten(data: Data) -> None:
    splits = [make_split(data, partial(classwise, target=label), 0) for label in range(4)]
    assert len({split.data_hash for split in splits}) == 1
    assert len({split.split_hash for split in splits}) == 4
    by_name = make_split(data, partial(classwise, target="class 2"), 0)
    assert by_name.split_hash == splits[2].split_hash  # the same samples, however they are named
    assert all(len(value) == 64 for value in (by_name.data_hash, by_name.split_hash))


# Selection


def test_without_selection_nobody_judges(data: Data) -> None:
    split = make_split(data, RANDOM, 0)
    assert len(split.judge) == len(split.judge_nonmembers) == 0


def test_selection_halves_val_by_class(data: Data) -> None:
    whole, split = make_split(data, RANDOM, 0), make_split(data, RANDOM, 0, selection=True)
    assert counts(split.val) == [4] * 4
    assert counts(split.judge) == counts(split.judge_nonmembers) == [2] * 4
    assert sorted(split.val.ids + split.judge.ids + split.judge_nonmembers.ids) == sorted(whole.val.ids)
    assert (split.retain.ids, split.forget.ids) == (whole.retain.ids, whole.forget.ids)


def test_selection_judges_retained_classes_only(data: Data) -> None:
    whole, split = make_split(data, CLASS_2, 0), make_split(data, CLASS_2, 0, selection=True)
    assert counts(split.val) == [4] * 4
    assert counts(split.judge) == counts(split.judge_nonmembers) == [2, 2, 0, 2]
    assert len({*split.val.ids, *split.judge.ids, *split.judge_nonmembers.ids}) == 16 + 6 + 6
    assert {*split.val.ids, *split.judge.ids, *split.judge_nonmembers.ids} < set(whole.val.ids)


def test_selection_shares_the_original(data: Data) -> None:
    assert make_split(data, CLASS_2, 0, selection=True).data_hash == make_split(data, CLASS_2, 0).data_hash


def test_selection_halves_an_own_val_set(own: Data) -> None:
    split = make_split(own, RANDOM, 0, selection=True)
    assert len(split.val) == 10
    assert len(split.judge) == len(split.judge_nonmembers) == 5
    assert set(split.val.ids + split.judge.ids + split.judge_nonmembers.ids) == set(own.val.ids if own.val else ())


def test_selection_depends_on_the_seed(own: Data) -> None:
    first, second = (make_split(own, RANDOM, seed, selection=True) for seed in (0, 1))
    assert set(first.val.ids) != set(second.val.ids)
    assert set(first.judge.ids) != set(second.judge.ids)


# Errors


def test_nothing_to_forget(data: Data) -> None:
    with pytest.raises(InputError, match="no sample to forget"):
        make_split(data, lambda train, _: torch.zeros(len(train), dtype=torch.bool), 0)


def test_nothing_to_retain(data: Data) -> None:
    with pytest.raises(InputError, match="no sample to retain"):
        make_split(data, lambda train, _: torch.ones(len(train), dtype=torch.bool), 0)


def test_no_test_image_of_a_retained_class(data: Data) -> None:
    other = replace(data, test=data.test[(data.test.targets == 2).nonzero().flatten()])
    make_split(other, RANDOM, 0)
    with pytest.raises(InputError, match="no test image belongs to a retained class"):
        make_split(other, CLASS_2, 0)


def test_too_few_images_for_a_val_set(make_images: Callable[..., Images]) -> None:
    tiny = Data(make_images(1), make_images(1, name="test"))
    with pytest.raises(InputError, match="a tenth of 4 training images is not one image"):
        make_split(tiny, RANDOM, 0)
    make_split(replace(tiny, val=make_images(1, name="val")), CLASS_2, 0)


def test_a_small_class_keeps_its_training_images() -> None:
    targets = torch.tensor([0] * 100 + [1] * 100 + [2] * 6)
    images = Images(torch.zeros(206, 1, 2, 2, dtype=torch.uint8), targets, ("a", "b", "c"), tuple(map(str, range(206))))
    split = make_split(Data(images, images), RANDOM, 0)
    assert split.train.targets.bincount().tolist() in (
        [90, 90, 5],
        [90, 90, 6],
        [89, 90, 6],
        [90, 89, 6],
        [91, 90, 5],
        [90, 91, 5],
    )


def test_a_seeded_part_of_the_test_set_validates_and_is_not_tested(data: Data) -> None:
    split = make_split(data, CLASS_2, 0, val_from_test=0.25)
    assert split.train.ids == data.train.ids
    assert counts(split.val) == [2] * 4
    assert counts(split.test_retain) == [6, 6, 0, 6]
    assert not set(split.val.ids) & {*split.test_retain.ids, *split.test_forget.ids}
    assert {*split.val.ids, *split.test_retain.ids, *split.test_forget.ids} == set(data.test.ids)
    other, another = (make_split(data, scheme, seed, val_from_test=0.25) for scheme, seed in ((RANDOM, 0), (CLASS_2, 1)))
    assert (other.val.ids, other.data_hash) == (split.val.ids, split.data_hash)
    assert set(another.val.ids) != set(split.val.ids)
    assert len({split.data_hash, another.data_hash, make_split(data, CLASS_2, 0).data_hash}) == 3


def test_a_network_that_saw_all_of_train_needs_other_images_to_validate(data: Data, own: Data) -> None:
    with pytest.raises(InputError, match=r"original\.checkpoint has seen all .* val/ folder .* val_from_test=0\.5"):
        make_split(data, RANDOM, 0, hold_out=False)
    assert make_split(own, RANDOM, 0, hold_out=False).train.ids == own.train.ids
    assert make_split(data, RANDOM, 0, hold_out=False, val_from_test=0.5).train.ids == data.train.ids
    with pytest.raises(InputError, match="val_from_test must be null"):
        make_split(own, RANDOM, 0, val_from_test=0.5)
    with pytest.raises(InputError, match=r"val_from_test must take at least one test image and leave one; 0\.001 takes 0 of "):
        make_split(data, RANDOM, 0, val_from_test=0.001)


def test_selection_without_judges_is_refused() -> None:
    images = Images(torch.zeros(20, 1, 2, 2, dtype=torch.uint8), torch.arange(20) % 2, ("a", "b"), tuple(map(str, range(20))))
    with pytest.raises(InputError, match="selection=true needs"):
        make_split(Data(images, images), RANDOM, 0, selection=True)

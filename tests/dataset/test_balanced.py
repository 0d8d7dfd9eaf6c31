import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.draw import balanced, limited, within_limit
from dau_lightning.dataset.images import Images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_targets(seed: int, sizes: tuple[int, ...]) -> torch.Tensor:
    targets = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    return targets[torch.randperm(len(targets), generator=generator(seed))]


def expected_counts(sizes: tuple[int, ...], count: int) -> list[int]:
    """Water filling, independently: the level every class reaches, and how many classes reach one more."""
    level = max(level for level in range(count + 1) if sum(min(size, level) for size in sizes) <= count)
    return [min(size, level) for size in sizes]


@pytest.mark.parametrize("sizes", [(10, 10, 10), (1, 20, 5), (7,), (3, 3, 3, 3, 50)])
def test_every_count_is_balanced_sorted_and_without_repeats(sizes: tuple[int, ...]) -> None:
    targets = drawn_targets(1, sizes)
    for count in range(len(targets) + 1):
        index = balanced(targets, count, generator(count))
        assert index.dtype == torch.int64
        assert len(index) == count
        assert index.tolist() == sorted(set(index.tolist()))
        extra = targets[index].bincount(minlength=len(sizes)) - torch.tensor(expected_counts(sizes, count))
        assert ((extra == 0) | (extra == 1)).all()


def test_is_a_function_of_the_seed() -> None:
    targets = drawn_targets(2, (30, 30))
    assert balanced(targets, 20, generator(3)).equal(balanced(targets, 20, generator(3)))
    assert not balanced(targets, 20, generator(3)).equal(balanced(targets, 20, generator(4)))


def test_every_sample_and_every_class_has_its_chance() -> None:
    targets = drawn_targets(3, (4, 4, 4))
    hits, classes = torch.zeros(12), torch.zeros(3)
    for seed in range(600):
        index = balanced(targets, 4, generator(seed))
        hits[index] += 1
        classes += targets[index].bincount(minlength=3) == 2
    assert ((hits / 600 - 1 / 3).abs() < 0.1).all()
    assert ((classes / 600 - 1 / 3).abs() < 0.1).all()


@pytest.mark.parametrize("count", [-1, 7])
def test_refuses_a_count_outside_the_set(count: int) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 6\], got {count}"):
        balanced(drawn_targets(0, (3, 3)), count, generator())


@pytest.mark.parametrize("limit", [None, 6, 100])
def test_a_limit_that_does_not_bind_keeps_all_and_draws_nothing(limit: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    source = generator()
    assert within_limit(drawn_targets(0, (3, 3)), limit, "dataset.train_limit", source).tolist() == [0, 1, 2, 3, 4, 5]
    assert source.get_state().equal(generator().get_state())
    said = "warning: dataset.train_limit=100 limits nothing, all 6 images are kept\n"
    assert capsys.readouterr().out == (said if limit == 100 else "")


@pytest.mark.parametrize("limit", [0, 1, -4])
def test_refuses_a_limit_below_the_number_of_classes(limit: int) -> None:
    with pytest.raises(InputError, match=rf"^dataset\.test_limit: needs at least one image a class, 2 classes, got {limit}$"):
        within_limit(drawn_targets(0, (3, 3)), limit, "dataset.test_limit", generator())


def test_limited_keeps_image_target_and_id_together() -> None:
    targets = drawn_targets(0, (5, 5))
    images = Images(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), targets, ("a", "b"), tuple("0123456789"))
    part = limited(images, 4, "dataset.train_limit", generator())
    assert len(part) == 4
    assert part.targets.bincount().tolist() == [2, 2]
    assert part.class_names == ("a", "b")
    assert [int(i) for i in part.ids] == part.images.flatten().tolist()
    assert part.targets.equal(targets[part.images.flatten().long()])
    assert limited(images, None, "dataset.train_limit", generator()) is images

import torch

from dau_lightning.dataset.fashion import fashion


def test_sizes_types_and_classes() -> None:
    data = fashion(None, None, 0)
    assert data.val is None
    for part in (data.train, data.test):
        assert part.images.shape == (2000, 1, 14, 14)
        assert (part.images.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
        assert part.targets.bincount().tolist() == [200] * 10
        assert len(set(part.ids)) == 2000
    assert data.train.class_names[:3] == ("T-shirt or top", "Trouser", "Pullover")


def test_no_training_image_is_a_test_image() -> None:
    data = fashion(None, None, 0)
    known = {image.numpy().tobytes() for image in data.train.images}
    assert not known & {image.numpy().tobytes() for image in data.test.images}


def test_trousers_are_brighter_in_the_middle_than_at_the_side() -> None:
    trousers = fashion(None, None, 0).train
    mean = trousers.images[trousers.targets == 1].float().mean((0, 1))
    assert mean[:, 5:9].mean() > 5 * mean[:, :2].mean()


def test_limits_are_balanced_and_drawn_from_the_seed() -> None:
    first, again, other = fashion(50, 20, 0), fashion(50, 20, 0), fashion(50, 20, 1)
    assert first.train.targets.bincount().tolist() == [5] * 10
    assert first.train.ids == again.train.ids != other.train.ids

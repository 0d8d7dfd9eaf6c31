"""A part of a data set shares its pixels; images can be exchanged without a change of the others."""

from collections.abc import Callable

import torch

from dau_lightning.dataset.images import Images


def test_a_part_takes_no_memory_for_pixels(make_images: Callable[..., Images]) -> None:
    images = make_images(6)
    part = images[torch.tensor([5, 1, 3])][torch.tensor([2, 0])]
    assert part.pixels is images.pixels
    assert torch.equal(part.images, images.images[[3, 5]])
    assert torch.equal(part.first(9), part.images)
    assert part.digests == (images.digests[3], images.digests[5])
    assert images[torch.tensor([4])].digests == images.digests[4:5]  # taken from those that are known
    assert [len(block) for block in images.blocks(4)] == [4] * (len(images) // 4)


def test_a_mask_gives_the_images_that_it_marks(make_images: Callable[..., Images]) -> None:
    images = make_images(5)
    marked = images[torch.tensor([True, False, False, True, True])]
    assert marked.ids == tuple(images.ids[place] for place in (0, 3, 4))
    assert torch.equal(marked.images, images.images[[0, 3, 4]])
    assert len(images[torch.zeros(5, dtype=torch.bool)]) == 0


def test_exchanged_images_leave_the_others(make_images: Callable[..., Images]) -> None:
    images = make_images(6)[torch.tensor([5, 1, 3])]
    before, white = images.images.clone(), torch.full((1, *images.shape[1:]), 255, dtype=torch.uint8)
    changed = images.with_images(torch.tensor([1]), white)
    assert torch.equal(changed.images, torch.stack([before[0], white[0], before[2]]))
    assert torch.equal(images.images, before)
    assert changed.digests[1] != images.digests[1]

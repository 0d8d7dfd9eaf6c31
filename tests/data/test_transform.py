from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import normalize

from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_is_torchvisions(make_images: Callable[..., Images], channels: int) -> None:
    images = make_images(2, shape=(channels, 5, 6)).images
    transform = Transform(MEAN[:channels], STD[:channels], crop_padding=2, flip=True)
    found = transform.normalise(images)
    torch.testing.assert_close(found, normalize(images / 255, list(MEAN[:channels]), list(STD[:channels])))
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor, padding: int, flip: bool, seed: int) -> Tensor:
    """One image after another: pad, cut, mirror; with the draws that the transform makes."""
    generator = torch.Generator().manual_seed(seed)
    count, _, height, width = images.shape
    offsets = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    chances = torch.rand(count, 1, generator=generator)
    result = []
    for i in range(count):
        top, left = offsets[:, i, 0].tolist()
        image = F.pad(images[i], (padding, padding, padding, padding))[:, top : top + height, left : left + width]
        result.append(image.flip(2) if flip and chances[i, 0] < 0.5 else image)
    return torch.stack(result)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 5, 7)])
def test_augment_pads_cuts_and_mirrors(
    make_images: Callable[..., Images], shape: tuple[int, int, int], padding: int, flip: bool
) -> None:
    images = make_images(8, shape=shape).images
    transform = Transform(MEAN, STD, padding, flip)
    found = transform.augment(images, torch.Generator().manual_seed(5))
    assert found.dtype == torch.uint8
    assert torch.equal(found, augmented(images, padding, flip, seed=5))
    assert torch.equal(found, images) is (padding == 0 and not flip)


def test_augment_draws_every_offset_and_both_sides_alike() -> None:
    images = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).repeat(3600, 1, 1, 1)
    found = Transform(MEAN, STD, crop_padding=1, flip=True).augment(images, torch.Generator().manual_seed(0))
    seen = Counter(tuple(image.flatten().tolist()) for image in found)
    assert len(seen) == 18  # 3 x 3 offsets, 2 sides
    assert min(seen.values()) > 140  # 200 expected, standard deviation 14
    assert max(seen.values()) < 260


def test_augment_does_not_read_the_global_generator(make_images: Callable[..., Images]) -> None:
    images = make_images(4).images
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        results.append(Transform(MEAN, STD, crop_padding=1, flip=True).augment(images, torch.Generator().manual_seed(5)))
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("own", "settings", "expected"),  # of crop_padding and flip
    [
        ((4, True), (None, None), (4, True)),
        ((4, False), (None, None), (4, False)),  # digits on houses are not mirrored
        ((0, False), (None, None), (2, True)),  # an eighth of 14, rounded up
        ((0, True), (None, None), (2, True)),
        ((0, False), (3, False), (3, False)),
        ((4, True), (1, False), (1, False)),
    ],
)
def test_a_second_view_crops_as_the_run_does_or_else_by_an_eighth(
    own: tuple[int, bool], settings: tuple[int | None, bool | None], expected: tuple[int, bool]
) -> None:
    view = Transform(MEAN, STD, *own).second_view(14, *settings)
    assert view == Transform(MEAN, STD, *expected)

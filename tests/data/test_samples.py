"""What a program may pass as images, labels and positions, and the sentence about what it may not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ChainDataset, DataLoader, Subset, TensorDataset

from dau_lightning.base.error import InputError
from dau_lightning.data.samples import as_array, as_data
from dau_lightning.scheme.positions import as_positions

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=GENERATOR)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
ARRAYS = IMAGES.numpy()
DATA = TensorDataset(IMAGES, LABELS)


def pillow(images: torch.Tensor, mode: str = "RGB") -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()).convert(mode) for image in images]


def read(train: Any) -> tuple[torch.Tensor, torch.Tensor]:
    images = as_data({"train": train, "test": (IMAGES, LABELS)}, None).train
    assert images.images.dtype == torch.uint8
    assert images.targets.dtype == torch.int64
    return images.images, images.targets


@pytest.mark.parametrize(
    "train",
    [
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        (ARRAYS, LABELS.numpy()),
        (ARRAYS.transpose(0, 2, 3, 1), LABELS.numpy()),
        (IMAGES.permute(0, 2, 3, 1), LABELS),
        (ARRAYS.astype(np.int64), LABELS[:, None]),
        (ARRAYS.astype(np.uint16), LABELS.numpy()[:, None]),
        (IMAGES.half() / 255, LABELS.float()),
        (ARRAYS / 255, LABELS.double()),
        (list(IMAGES), LABELS.tolist()),
        (list(ARRAYS), list(LABELS)),
        (pillow(IMAGES), LABELS.tolist()),
        (ARRAYS, LABELS.tolist()),
        (IMAGES, tuple(LABELS)),
        [list(IMAGES), LABELS],
        (pillow(IMAGES), LABELS.numpy()),
        DATA,
        Subset(DATA, range(6)),
        [(image, label.view(1)) for image, label in DATA],
        [[image.permute(1, 2, 0).numpy(), np.int32(label)] for image, label in DATA],
        list(zip(pillow(IMAGES), LABELS.tolist(), strict=True)),
    ],
)  # fmt: skip
def test_every_form_is_the_same_data(train: Any) -> None:
    images, labels = read(train)
    assert torch.equal(images, IMAGES)
    assert torch.equal(labels, LABELS)


def test_grey_images_and_two_samples() -> None:
    grey = IMAGES[:, 0]
    assert torch.equal(read((grey, LABELS))[0], grey[:, None])
    assert torch.equal(read([(image.numpy(), 0) for image in grey])[0], grey[:, None])
    assert torch.equal(read([(IMAGES[0], 1), (IMAGES[1], 0)])[1], torch.tensor([1, 0]))
    small = Image.fromarray(ARRAYS[0, :, :4, :4].transpose(1, 2, 0))
    assert torch.equal(read([(small, 0)])[0][0], IMAGES[0, :, :4, :4])


def test_palettes_and_black_and_white_are_what_they_look_like() -> None:
    palette = pillow(IMAGES, "P")
    seen = torch.from_numpy(np.stack([np.array(image.convert("RGB")) for image in palette])).permute(0, 3, 1, 2)
    assert torch.equal(read([(image, 0) for image in palette])[0], seen)
    mask = IMAGES[:, :1] > 99
    for train in ((mask, LABELS), [(Image.fromarray(each[0].numpy()), 0) for each in mask]):
        assert torch.equal(read(train)[0], mask * torch.tensor(255, dtype=torch.uint8))
    assert torch.equal(read((IMAGES, LABELS > 0))[1], (LABELS > 0).long())


SIXTEEN = Image.fromarray(np.full((8, 8), 4000, np.uint16))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((IMAGES.short() - 1, LABELS), "integers from -1 to 254"),
        ((IMAGES.int() * 2, LABELS), "scale them to 0..255 as in training"),
        ((IMAGES.float(), LABELS), r"floats in \[0, 1\] before normalisation"),
        ((IMAGES / 255 * float("nan"), LABELS), "got nan to nan"),
        ((IMAGES * 1j, LABELS), "complex"),
        ((IMAGES, torch.nn.functional.one_hot(LABELS)), r"shape \(6, 3\): of one-hot labels give \.argmax\(1\)"),
        ([(image, torch.eye(3)[label]) for image, label in DATA], r"one-hot"),
        ((IMAGES, LABELS + 0.5), "fractions"),
        ((IMAGES, LABELS / 0), "not finite"),
        ((IMAGES, LABELS - 1), "labels from 0 to 2, got -1 to 1"),
        ((IMAGES, np.array(["cat"] * 6)), r"one whole number as the label of each image, got such as \['cat'\]"),
        ((ARRAYS, [0, 1]), "as many labels as images, got 2 and 6"),
        ((IMAGES, ["cat"] * 6), r"one whole number as the label of each image"),
        (([], []), "at least one image"),
        ([(IMAGES[0], 0, 1), (IMAGES[1], 1, 2)], "tuples of 3"),
        ([{"image": IMAGES[0]}, {"image": IMAGES[1]}], "items that are dictionaries"),
        ((IMAGES, LABELS[:5]), "as many labels as images, got 5 and 6"),
        ((IMAGES[0, 0], LABELS), r"images \(N, C, H, W\), got shape \(8, 8\)"),
        ((np.array(["x"] * 6), LABELS), "got <U1"),
        ([(SIXTEEN, 0)], "8 bits a channel .* got mode I;16"),
        ([(Image.new("CMYK", (8, 8)), 0)], "mode CMYK"),
        ([(Image.new("F", (8, 8)), 0)], "mode F"),
        ([("cat.png", 0)], "as tensors, arrays or Pillow images, got str"),
        ([(IMAGES[0], 0), (IMAGES[0, :, :4], 0)], "one size"),
        ([{"image": IMAGES[0], "label": 0}], "items that are dictionaries with image, label: make them pairs"),
        ({"image": IMAGES, "label": LABELS}, "got dict"),
        (TensorDataset(IMAGES, LABELS, LABELS), "tuples of 3"),
        ((IMAGES, LABELS, LABELS), "train must be a data set .* got items that are Tensor"),
        (IMAGES, "items that are Tensor"),
        (DataLoader(DATA), r"a DataLoader: give its \.dataset"),
        (ChainDataset([]), "got ChainDataset"),
        ("images/", "got str"),
        (3, "got int"),
        ([], "at least one image"),
        ((IMAGES[:0], LABELS[:0]), "at least one image"),
    ],
)
def test_other_data_is_one_sentence(train: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(train)
    assert len(str(caught.value).splitlines()) == 1


def positions(forget: Any, count: int = 6) -> list[int]:
    return as_positions(as_array(forget), count, "forget")


@pytest.mark.parametrize(
    "form", [list, tuple, np.array, torch.tensor, iter, lambda x: (each for each in x), lambda x: [torch.tensor(e) for e in x]]
)
def test_positions_and_masks(form: Callable[[list[Any]], Any]) -> None:
    assert positions(form([4, 0, 4])) == [4, 0, 4]
    assert positions(form([False, True, False, False, True, False])) == [1, 4]
    assert positions(form([0, 1])) == [0, 1]


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        ((LABELS == 1).long(), "6 zeros and ones, as many as train has images: make it a mask of type bool"),
        ([0, 1, 0, 0, 1, 0], "zeros and ones"),
        ([0, 1, 0, 0, 1, 0, 0], "7 zeros and ones, and train has 6 images: make it a mask of type bool"),
        (LABELS.new_tensor([0, 1, 2, 2, 1, 0]), "6 integers for 6 images, and some are the same, as in an array of labels"),
        ([True, False], "mask of all 6 images"),
        ([True, 3], "true or false among numbers"),
        (3, "got int: "),
        (torch.tensor(3), "got Tensor: "),
        (None, "got NoneType"),
        ("17", "got str"),
        ({3: True}, "got dict"),
        (Subset(DATA, [1]), r"give the Subset's \.indices"),
        (DataLoader(DATA), "got DataLoader"),
        ([[1], [2, 3]], "got list"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([1.0], "float64"),
        (["train/00001"], "forget must hold integers"),
    ],
)
def test_other_positions_are_one_sentence(forget: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        positions(forget)
    assert len(str(caught.value).splitlines()) == 1


def test_class_names_may_be_an_array() -> None:
    names: Any = np.array(["a", "b", "c"])
    assert as_data({"train": (IMAGES, LABELS), "test": DATA}, names).train.class_names == ("a", "b", "c")

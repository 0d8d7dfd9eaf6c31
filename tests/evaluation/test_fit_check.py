from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.evaluation.fit_check import fit_warnings, trained_accuracy
from dau_lightning.network.defender import Defender

CPU = torch.device("cpu")
PLAIN = Transform((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0, False)
TEN = tuple(sorted(map(str, range(1, 11))))  # 1, 10, 2 ... as folders are sorted


def painted(names: tuple[str, ...] = TEN, count: int = 12) -> Images:
    """Images whose brightness says their class: the number in its name, or its place among the names."""
    targets = torch.arange(len(names)).repeat_interleave(count)
    shades = torch.tensor([int(name) if name.isdecimal() else place + 1 for place, name in enumerate(names)])
    pixels = (shades[targets] * 20)[:, None, None, None].expand(-1, 3, 8, 8).to(torch.uint8).contiguous()
    return Images(pixels, targets, names, tuple(map(str, range(len(targets)))))


class Reads(nn.Module):
    """A network whose output k is the largest for brightness 20 (k + 1) of 255, as its own normalisation shows it."""

    def __init__(self, classes: int = 10, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.head = nn.Linear(1, classes)
        shades = (torch.arange(1, classes + 1) * 20 / 255 - mean) / std
        with torch.no_grad():  # the nearest shade s has the largest 2 s x - s^2
            self.head.weight.copy_(200 * shades[:, None])
            self.head.bias.copy_(-100 * shades**2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean((1, 2, 3))[:, None])


def warned(network: nn.Module, images: Images, transform: Transform = PLAIN, turned: tuple[int, int] = (0, 0)) -> list[str]:
    return fit_warnings(Defender(network), images, transform, 0, CPU, turned)


def test_a_network_that_fits_is_not_warned_of() -> None:
    images = painted(tuple("abcdefghij"))
    network = Reads().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert warned(network, images) == []
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_numbers_sorted_as_text_are_the_order_of_the_classes() -> None:
    images = painted()
    right = 100 * sum(name == str(place + 1) for place, name in enumerate(TEN)) / 10
    message = rf'right on {right:.1f}% of 120 .* on 100\.0% if .* "dataset\.classes=\[1,2,3,4,5,6,7,8,9,10\]"'
    with pytest.raises(InputError, match=message):
        warned(Reads(), images)


@pytest.mark.parametrize("count", [1, 12])
def test_any_permutation_is_found_where_there_are_images_enough(count: int) -> None:
    names = ("Zebra", "ant", "bee 2", "cow")
    images = painted(names, count)
    places = torch.tensor([2, 0, 3, 1])
    moved = replace(images, targets=places[images.targets])
    if count == 1:
        assert "the order of the classes (Zebra, ant, bee 2 ...: dataset.classes)" in warned(Reads(4), moved)[0]
    else:  # output k is the class whose shade is k
        with pytest.raises(InputError, match=r"dataset\.classes=\[\'bee 2\',Zebra,cow,ant\]"):
            warned(Reads(4), moved)


def swapped(first: tuple[int, ...] = (1, 2, 3, 0), wrong_share: float = 0.0) -> Images:
    """Ten classes of which the first are exchanged, and a share of labels that no order explains."""
    images = painted(tuple("abcdefghij"), 50)
    targets = torch.tensor([*first, *range(len(first), 10)])[images.targets]
    wrong = torch.arange(len(targets)) % 50 < 50 * wrong_share
    return replace(images, targets=torch.where(wrong, (targets + 1 + torch.arange(len(targets)) % 9) % 10, targets))


def test_an_order_that_differs_for_some_classes_is_found_in_a_network_that_looks_trained() -> None:
    message = r"right on 60\.0% of 500 .* on 100\.0% if .*dataset\.classes=\[b,c,d,a,e,f,g,h,i,j\]"
    with pytest.raises(InputError, match=message):
        warned(Reads(), swapped())
    (warning,) = warned(Reads(), swapped((1, 2, 0), 0.2))
    assert "right on 56.8% of 500 of its training images: look at the order of the classes (80.0% with" in warning
    assert "dataset.classes=[b,c,a,d,e,f,g,h,i,j]" in warning


def test_wrong_labels_at_random_suggest_no_order(capsys: pytest.CaptureFixture[str]) -> None:
    images = painted(tuple("abcdefghij"), 50)
    wrong = torch.rand(len(images), generator=torch.Generator().manual_seed(0)) < 0.4
    moved = torch.where(wrong, images.targets.roll(37), images.targets)
    assert warned(Reads(), replace(images, targets=moved)) == []
    right = 100 * float((moved == images.targets).double().mean())
    assert capsys.readouterr().out == f"original: right on {right:.1f}% of 500 training images\n"


def test_upper_case_after_lower_case_is_tried_with_many_classes() -> None:
    names = tuple(sorted([chr(97 + k) if k % 2 else chr(65 + k) for k in range(20)]))
    folded = sorted(names, key=str.lower)
    shades = torch.tensor([folded.index(name) + 1 for name in names]) * 12
    pixels = shades[:, None, None, None].expand(-1, 3, 8, 8).to(torch.uint8).contiguous()
    images = Images(pixels, torch.arange(20), names, names)
    network = Reads(20)
    with torch.no_grad():
        network.head.weight.mul_(12 / 20)
        network.head.bias.mul_((12 / 20) ** 2)
    with pytest.raises(InputError, match=rf"classes=\[{','.join(folded)}\]"):
        warned(network, images)


@pytest.mark.parametrize(
    ("network", "transform", "setting"),
    [
        (Reads(mean=0.5, std=0.5), PLAIN, "transform.mean=[0.5,0.5,0.5] transform.std=[0.5,0.5,0.5]"),
        (Reads(std=1 / 255), PLAIN, "transform.mean=[0,0,0] transform.std=[0.00392157,0.00392157,0.00392157]"),
        (Reads(), replace(PLAIN, mean=(0.5,) * 3, std=(0.5,) * 3), "transform.mean=[0,0,0] transform.std=[1,1,1]"),
    ],
)
def test_the_normalisation_with_which_the_network_is_right_is_named(
    network: nn.Module, transform: Transform, setting: str
) -> None:
    (warning,) = warned(network, painted(tuple("abcdefghij")), transform)
    assert f"{setting}, with which it is right on 100.0%" in warning


def test_what_to_look_at_is_said_in_order() -> None:
    untrained = Reads()
    nn.init.zeros_(untrained.head.weight)
    (warning,) = warned(untrained, painted(), turned=(7, 0))
    assert "right on 10.0% of 120 of its training images, near chance (10.0): look at" in warning
    looked = ["order of the classes", "transform.mean", "image_size (8 x 8", "(7 were turned", "returns logits", "were trained"]
    assert [warning.index(each) for each in looked] == sorted(warning.index(each) for each in looked)
    assert "EXIF data (7 were not turned here: dataset.exif=true)" in warned(untrained, painted(), turned=(0, 7))[0]
    assert "EXIF" not in warned(untrained, painted())[0]


class Soft(Reads):
    """A network with a softmax, whose outputs are probabilities."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(1)


class Sigmoid(Reads):
    """A network that was trained with a loss for each class, whose outputs are probabilities that do not add up to 1."""

    def forward(self, images: Tensor) -> Tensor:
        return (super().forward(images) / 100).sigmoid()


class LogSoft(Reads):
    """A network whose outputs are logarithms of probabilities, which are logits."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).log_softmax(1)


def test_probabilities_are_told_and_their_logarithms_are_logits() -> None:
    images = painted(tuple("abcdefghij"))
    for network, last in ((Soft(), "softmax"), (Sigmoid(), "sigmoid")):
        (warning,) = fit_warnings(Defender(network, "head"), images, PLAIN, 0, CPU, (0, 0))
        assert f"returns probabilities ({last}), not logits: return the values before the {last}" in warning
    assert fit_warnings(Defender(LogSoft(), "head"), images, PLAIN, 0, CPU, (0, 0)) == []


def test_halfway_from_chance_looks_trained() -> None:
    assert [trained_accuracy(classes) for classes in (2, 4, 100)] == [75, 62.5, 50.5]

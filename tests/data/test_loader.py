from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import normalize

from dau_lightning.base.error import InputError
from dau_lightning.data.loader import Batch, JointLoader, PassLoader, PlainLoader
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PLAIN = Transform(MEAN, STD, crop_padding=0, flip=False)
AUGMENTED = Transform(MEAN, STD, crop_padding=1, flip=True)
SIZES = {"retain": 8, "forget": 4, "val": 6}


@pytest.fixture
def parts(make_images: Callable[..., Images]) -> dict[str, Images]:
    """30 retain, 5 forget and 7 val images."""
    pool = make_images(10, name="train")
    return {
        "retain": make_images(10, num_classes=3),
        "forget": pool[torch.tensor([0, 5, 12, 20, 39])],
        "val": pool[torch.arange(3, 24, 3)],
    }


def flat(batches: list[dict[str, Batch]]) -> list[Tensor]:
    return [tensor for batch in batches for part in batch.values() for tensor in part]


def same(first: list[dict[str, Batch]], second: list[dict[str, Batch]]) -> bool:
    return all(map(torch.equal, flat(first), flat(second))) and len(first) == len(second)


def pairs(batch: Batch) -> Counter[tuple[bytes, int]]:
    """How often each labelled image occurs."""
    images, targets = batch
    return Counter((image.contiguous().numpy().tobytes(), int(label)) for image, label in zip(images, targets, strict=True))


def test_an_epoch_visits_the_first_part_once(parts: dict[str, Images]) -> None:
    loader = JointLoader(parts, SIZES, PLAIN, seed=0)
    batches = list(loader)
    assert len(batches) == len(loader) == 4  # 30 images, 8 a step
    for batch in batches:
        assert list(batch) == ["retain", "forget", "val"]
        assert {name: part.images.shape for name, part in batch.items()} == {n: (size, 3, 4, 4) for n, size in SIZES.items()}
        assert all(part.targets.dtype == torch.int64 for part in batch.values())
    for name, expected in (("retain", 30), ("forget", 5), ("val", 7)):
        seen = sum((pairs(batch[name]) for batch in batches), Counter())
        assert seen.keys() == pairs(Batch(PLAIN.normalise(parts[name].images), parts[name].targets)).keys()
        assert len(seen) == expected
        assert max(seen.values()) - min(seen.values()) <= 1
    assert len(JointLoader(parts, {"forget": 2, "retain": 8}, PLAIN, seed=0)) == 3  # whichever is first


def test_batches_are_a_function_of_seed_epoch_step_and_part(parts: dict[str, Images]) -> None:
    loader, epochs = JointLoader(parts, SIZES, AUGMENTED, seed=0), []
    for epoch in range(3):
        loader.set_epoch(epoch)
        epochs.append(list(loader))
        assert same(list(loader), epochs[epoch])
    assert not same(epochs[0], epochs[1])
    resumed = JointLoader(parts, SIZES, AUGMENTED, seed=0)
    resumed.set_epoch(2)
    assert same(list(resumed), epochs[2])
    assert torch.equal(resumed.batch("val", 2 * 4 + 3).images, epochs[2][3]["val"].images)
    assert not same(list(JointLoader(parts, SIZES, AUGMENTED, seed=1)), epochs[0])
    for name in ("retain", "val"):  # whatever the other parts are
        alone = JointLoader(parts, {name: SIZES[name]}, AUGMENTED, seed=0)
        assert torch.equal(alone.batch(name, 3).images, epochs[0][3][name].images)


def test_lightning_can_set_the_epoch(parts: dict[str, Images]) -> None:
    loader = JointLoader(parts, SIZES, PLAIN, seed=0)
    loader.sampler.set_epoch(1)
    assert loader.epoch == 1


def test_over_many_epochs_every_image_is_visited_equally_often(parts: dict[str, Images]) -> None:
    loader, seen = JointLoader(parts, SIZES, PLAIN, seed=0), Counter()
    for epoch in range(15):  # 15 * 32 = 16 * 30
        loader.set_epoch(epoch)
        for batch in loader:
            seen += pairs(batch["retain"])
    assert set(seen.values()) == {16}
    assert len(seen) == 30


def test_a_part_of_one_sample_fills_its_batch(parts: dict[str, Images]) -> None:
    single = {**parts, "forget": parts["forget"][torch.tensor([3])]}
    for batch in JointLoader(single, SIZES, PLAIN, seed=0):
        assert len(batch["forget"].targets) == 4
        assert len(pairs(batch["forget"])) == 1
    augmented_batch = next(iter(JointLoader(single, {"forget": 64}, AUGMENTED, seed=0)))["forget"]
    assert len(pairs(augmented_batch)) > 8  # each copy is augmented by itself


def test_the_augmentation_of_a_batch_is_its_own(parts: dict[str, Images]) -> None:
    single = parts["retain"][torch.tensor([0])]
    loader = JointLoader({"forget": single, "val": single}, {"forget": 16, "val": 16}, AUGMENTED, seed=0)
    batches = [loader.batch(name, step).images for name in ("forget", "val") for step in (0, 1)]
    assert not any(torch.equal(batches[i], batches[j]) for i in range(4) for j in range(i))


def test_augments_and_normalises_the_drawn_images(parts: dict[str, Images]) -> None:
    images, targets = JointLoader(parts, SIZES, AUGMENTED, seed=0).batch("retain", 1)
    crops = Counter()
    for image, label in zip(parts["retain"].images, parts["retain"].targets.tolist(), strict=True):
        for top in range(3):
            for left in range(3):
                crop = F.pad(image, (1, 1, 1, 1))[:, top : top + 4, left : left + 4]
                crops.update(pairs(Batch(AUGMENTED.normalise(torch.stack([crop, crop.flip(2)])), torch.tensor([label] * 2))))
    assert pairs(Batch(images, targets)).keys() <= crops.keys()
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_shares_of_the_devices_make_the_batch(parts: dict[str, Images], world_size: int) -> None:
    sizes = {"retain": 8, "forget": 4}
    whole = JointLoader(parts, sizes, AUGMENTED, seed=0)
    shares = [JointLoader(parts, sizes, AUGMENTED, 0, rank, world_size) for rank in range(world_size)]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *split in zip(whole, *shares, strict=True):
        for name, size in sizes.items():
            assert [len(share[name].targets) for share in split] == [size // world_size] * world_size
            assert sum((pairs(share[name]) for share in split), Counter()) == pairs(batch[name])


def test_a_device_reads_its_share_alone(parts: dict[str, Images], monkeypatch: pytest.MonkeyPatch) -> None:
    read, at = list[int](), Images.at
    monkeypatch.setattr(Images, "at", lambda images, index: (read.append(len(index)), at(images, index))[1])
    loader = JointLoader(parts, {"retain": 8}, AUGMENTED, 0, rank=1, world_size=4)
    assert len(list(loader)) == len(read)
    assert set(read) == {2}


def test_a_batch_that_devices_cannot_share(parts: dict[str, Images]) -> None:
    with pytest.raises(InputError, match=r"the val batch size must be a multiple of trainer\.devices=4, got 6"):
        JointLoader(parts, SIZES, PLAIN, seed=0, rank=0, world_size=4)


def test_a_part_without_samples(parts: dict[str, Images]) -> None:
    empty = {**parts, "forget": parts["forget"][torch.arange(0)]}
    with pytest.raises(InputError, match="the forget set must hold at least one sample"):
        JointLoader(empty, SIZES, PLAIN, seed=0)
    assert len(JointLoader(empty, {"retain": 8}, PLAIN, seed=0)) == 4


# Pairs of a class


def paired(parts: dict[str, Images], seed: int = 0, **devices: int) -> JointLoader:
    return JointLoader(parts, SIZES | {"val": 4}, PLAIN, seed, pairs={"val": "forget"}, **devices)


def test_pairs_have_the_labels_of_the_partner_and_images_of_their_part(parts: dict[str, Images]) -> None:
    parts |= {"val": parts["val"], "forget": parts["forget"][torch.tensor([0, 1, 2, 3])]}  # of classes that val has
    own = set(pairs(Batch(PLAIN.normalise(parts["val"].images), parts["val"].targets)))
    for batch in paired(parts):
        assert torch.equal(batch["val"].targets, batch["forget"].targets)
        assert set(pairs(batch["val"])) <= own


def test_pairs_are_drawn_evenly_from_a_class(parts: dict[str, Images]) -> None:
    parts |= {"forget": parts["forget"][torch.tensor([0])]}  # of class 0, of which val has 3 and 6 and 9
    loader, seen = paired(parts), Counter()
    for step in range(300):
        seen += pairs(loader.batch("val", step))
    assert len(seen) == int((parts["val"].targets == 0).sum()) > 1
    assert min(seen.values()) > 0.8 * 1200 / len(seen)


def test_pairs_are_a_function_of_seed_and_step_and_leave_other_parts_alone(parts: dict[str, Images]) -> None:
    parts |= {"forget": parts["forget"][torch.tensor([0, 1, 2, 3])]}
    batches, again, other = (list(paired(parts, seed)) for seed in (0, 0, 1))
    assert same(batches, again)
    assert not same([{"val": batch["val"]} for batch in batches], [{"val": batch["val"]} for batch in other])
    plain = list(JointLoader(parts, SIZES | {"val": 4}, PLAIN, 0))
    for name in ("retain", "forget"):
        assert same([{name: batch[name]} for batch in batches], [{name: batch[name]} for batch in plain])
    steps = [paired(parts).batch("val", step) for step in (2, 0)]
    assert all(torch.equal(found.images, batches[step]["val"].images) for found, step in zip(steps, (2, 0), strict=True))


def test_a_pair_is_on_one_device(parts: dict[str, Images]) -> None:
    parts |= {"forget": parts["forget"][torch.tensor([0, 1, 2, 3])]}
    for rank in range(2):
        for batch in paired(parts, rank=rank, world_size=2):
            assert len(batch["val"].targets) == 2
            assert torch.equal(batch["val"].targets, batch["forget"].targets)


def test_pairs_need_every_class(parts: dict[str, Images]) -> None:
    with pytest.raises(InputError, match=r"baseline\.pairing=class needs a val image .* forget set, .* none of class 3$"):
        paired(parts)


# PlainLoader


@pytest.mark.parametrize(("per_class", "lengths"), [(250, [1000]), (575, [1000, 1000, 300]), (1, [4])])
def test_plain_loader_gives_every_sample_once_in_order(
    make_images: Callable[..., Images], per_class: int, lengths: list[int]
) -> None:
    part = make_images(per_class, shape=(3, 2, 2))
    loader = PlainLoader(part, AUGMENTED)
    for _ in range(2):
        images, targets = zip(*loader, strict=True)
        assert [len(batch) for batch in images] == lengths
        assert torch.equal(torch.cat(targets), part.targets)
        expected = normalize(part.images / 255, list(MEAN), list(STD))
        torch.testing.assert_close(torch.cat(images), expected)
    assert len(loader) == len(lengths)


# PassLoader


def test_a_pass_gives_every_sample_once_part_after_part_not_augmented(parts: dict[str, Images]) -> None:
    transform = Transform(MEAN, STD, crop_padding=4, flip=True)
    sizes = {"retain": 8, "forget": 4}
    loader = PassLoader(parts, sizes, transform, seed=0)
    batches = list(loader)
    assert [[*batch] for batch in batches] == [["retain"]] * 4 + [["forget"]] * 2
    assert [len(batch.targets) for each in batches for batch in each.values()] == [8, 8, 8, 6, 4, 1]
    assert len(loader) == 6
    for name in sizes:
        seen = sum((pairs(batch[name]) for batch in batches if name in batch), Counter())
        assert seen == pairs(Batch(PLAIN.normalise(parts[name].images), parts[name].targets))
    assert same(batches, list(loader))
    other = list(PassLoader(parts, sizes, transform, seed=1))
    assert not torch.equal(other[0]["retain"].targets, batches[0]["retain"].targets)


@pytest.mark.parametrize(
    ("limit", "lengths"), [(10, [8, 2, 4, 1]), (8, [8, 4, 1]), (30, [8, 8, 8, 6, 4, 1]), (99, [8, 8, 8, 6, 4, 1])]
)
def test_a_limited_pass_takes_samples_at_random(parts: dict[str, Images], limit: int, lengths: list[int]) -> None:
    sizes = {"retain": 8, "forget": 4}
    loader = PassLoader(parts, sizes, PLAIN, 0, {"retain": limit})
    batches = list(loader)
    assert [len(batch.targets) for each in batches for batch in each.values()] == lengths
    assert len(loader) == len(lengths)
    targets = torch.cat([batch["retain"].targets for batch in batches if "retain" in batch])
    assert len(targets.unique()) > 1  # the part is sorted by class: ten of the first, ten of the second, ...

from typing import Any

import torch

from dau_lightning.data.alternating import AlternatingLoader

SIZES = {"forget": 5, "retain": 10}


def loader(tiny: Any, **options: Any) -> AlternatingLoader:
    split = tiny.split()
    return AlternatingLoader({"forget": split.forget, "retain": split.retain}, SIZES, tiny.transform, 0, *options.values())


def test_an_epoch_visits_one_part_after_the_other(tiny: Any) -> None:
    made = loader(tiny)
    epoch = [{name: len(batch.targets) for name, batch in step.items()} for step in made]
    assert epoch == 3 * [{"forget": 4}] + 4 * [{"retain": 9}]  # 12 and 36 images in batches of at most 5 and 10
    assert len(made) == 7


def test_every_epoch_shows_every_image_once(tiny: Any) -> None:
    made = loader(tiny)
    for epoch in range(3):
        made.set_epoch(epoch)
        steps = list(made)
        for part, count in (("forget", 12), ("retain", 36)):
            images = torch.cat([step[part].images for step in steps if part in step])
            assert len(images) == len(images.flatten(1).unique(dim=0)) == count


def test_it_goes_on_where_it_stopped(tiny: Any) -> None:
    whole, resumed = list(loader(tiny)), loader(tiny)
    resumed.load_state_dict({"position": 2})
    rest = list(resumed)
    assert len(rest) == 5
    for step, other in zip(whole[2:], rest, strict=True):
        assert step.keys() == other.keys()
        assert all(torch.equal(step[name].images, other[name].images) for name in step)


def test_devices_share_a_batch(tiny: Any) -> None:
    split, sizes = tiny.split(forget=13), {"forget": 6, "retain": 6}
    parts = {"forget": split.forget, "retain": split.retain}
    first, second = (list(AlternatingLoader(parts, sizes, tiny.transform, 0, rank, 2)) for rank in range(2))
    lengths = [[len(batch.targets) for step in steps for batch in step.values()] for steps in (first, second)]
    assert lengths[0] == lengths[1] == [2, 2, 3] + 6 * [3]
    images = torch.cat([step["forget"].images for step in (*first, *second) if "forget" in step])
    assert len(images) == 14  # one comes twice, so that both have as many
    assert len(images.flatten(1).unique(dim=0)) == 13

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
    assert epoch == 3 * [{"forget": 5}] + 4 * [{"retain": 10}]
    assert len(made) == 7


def test_every_sample_comes_as_often_as_the_epochs(tiny: Any) -> None:
    made, images = loader(tiny), list[torch.Tensor]()
    for epoch in range(4):  # 60 forget samples: five times the set
        made.set_epoch(epoch)
        images += [step["forget"].images for step in made if "forget" in step]
    _, counts = torch.cat(images).flatten(1).unique(dim=0, return_counts=True)
    assert counts.tolist() == [5] * 12


def test_it_goes_on_where_it_stopped(tiny: Any) -> None:
    whole, resumed = list(loader(tiny)), loader(tiny)
    resumed.load_state_dict({"position": 2})
    rest = list(resumed)
    assert len(rest) == 5
    for step, other in zip(whole[2:], rest, strict=True):
        assert step.keys() == other.keys()
        assert all(torch.equal(step[name].images, other[name].images) for name in step)


def test_devices_share_a_batch(tiny: Any) -> None:
    made = AlternatingLoader(
        {"forget": tiny.split().forget, "retain": tiny.split().retain}, {"forget": 6, "retain": 6}, tiny.transform, 0, 1, 2
    )
    assert {len(batch.targets) for step in made for batch in step.values()} == {3}

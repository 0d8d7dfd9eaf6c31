"""The game with fewer images to forget than a batch holds."""

from typing import Any

import pytest
import torch

from dau_lightning.base.error import InputError
from tests.whole_game import StepRecord, game


def test_a_single_image_can_be_forgotten(tiny: Any) -> None:
    record = StepRecord()
    tiny.fit(game(tiny.defender(), pretraining_steps=1), record, split=tiny.split(forget=1))
    assert [len(batch["forget"].targets) for batch in record.batches] == [6] * 3
    assert torch.tensor(record.losses).isfinite().all()


@pytest.mark.parametrize(("count", "visits", "size"), [(1, 1, 1), (1, 2, 2), (2, 2, 4), (3, 2, 6), (12, 1, 6)])
def test_no_image_comes_more_often_in_a_step_than_it_may(tiny: Any, count: int, visits: int, size: int) -> None:
    module, record = game(tiny.defender(), visits_per_step=visits, regulariser_weight=0.0), StepRecord()
    split = tiny.split(forget=count)
    module.check(split)
    assert f"visits every forget sample {3 * size / count:.1f} times" in module.plan(3, split)
    tiny.fit(module, record, split=split)
    assert [len(batch["forget"].targets) for batch in record.batches] == [size] * 3
    for batch in record.batches:
        assert (
            torch.stack([(batch["forget"].images == image).flatten(1).all(1).sum() for image in batch["forget"].images]).max()
            <= visits
        )


def test_pairs_want_as_many_forget_images_as_val_images(tiny: Any) -> None:
    module = game(tiny.defender(), visits_per_step=1)
    with pytest.raises(InputError, match=r"got 2 and 6 .* baseline\.visits_per_step=null"):
        module.check(tiny.split(forget=2))

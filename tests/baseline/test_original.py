from typing import Any

from dau_lightning.baseline.original import Original


def test_sees_the_whole_training_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(Original) == dict.fromkeys(range(48), 2)  # two epochs


def test_its_store_entry_depends_on_the_training_set_alone(tiny: Any) -> None:
    training, split = tiny.training(), tiny.split()
    content = training.content(training.module(Original, split), split)
    assert content["data"] == split.data_hash

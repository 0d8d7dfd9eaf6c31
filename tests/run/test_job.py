from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dau_lightning.network import resnet18
from dau_lightning.run.job import settings_of, training_of
from dau_lightning.storage.run_folder import RunFolder
from tests.composed import composed
from tests.own_network import Plain

FOLDER = cast(RunFolder, SimpleNamespace(path=Path("run"), config_hash="hash"))
TORCHVISION = ["network=torchvision", "network.name=resnet18"]


@pytest.mark.parametrize(
    ("choice", "given", "makes"),
    [
        (["network=resnet18"], None, "ResNet"),
        (TORCHVISION, None, "ResNet"),
        (TORCHVISION, partial(resnet18), "ResNet"),  # `unlearn` found which network of torchvision it was given
        (["network=own"], None, "ResNet"),
        (["network=own"], Plain, None),  # `unlearn` does not know how a class of one's own is made
    ],
)
def test_a_run_can_make_new_networks_unless_it_was_given_one_of_ones_own(choice: list[str], given: Any, makes: Any) -> None:
    training = training_of(settings_of(composed(*choice)), FOLDER, [], given)
    made = training.new_network(num_classes=10, in_channels=3) if training.new_network else None
    assert (made and type(made).__name__) == makes

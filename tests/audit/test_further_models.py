"""Reference models and shadow models that cannot be used or made."""

from dataclasses import replace

import pytest

from dau_lightning.audit.figure import NotEnough
from dau_lightning.audit.further_models import references
from dau_lightning.audit.measure.relearning import Relearning
from dau_lightning.audit.measure.rmia import RMIA
from dau_lightning.audit.shadows import members
from dau_lightning.storage.store import Store
from dau_lightning.training.trainer import process_settings

pytestmark = pytest.mark.slow


def test_a_damaged_reference_is_set_aside_and_trained_again(usual, tmp_path):
    training = replace(usual.training, store=Store(tmp_path))
    case, again = (replace(usual, models={}, references=1, training=training) for _ in range(2))
    references(case)
    (stored,) = tmp_path.glob("reference-*.safetensors")
    content = stored.read_bytes()
    stored.write_bytes(content[:-9])
    with pytest.warns(UserWarning, match=r"cannot be used .*; it is set aside as reference-.*\.bad"), process_settings():
        references(again)
    weights = [each.models["reference 0"].state_dict() for each in (case, again)]
    assert all((tensor == weights[1][name]).all() for name, tensor in weights[0].items())


def test_few_forgotten_images_are_said_before_any_training(make_case):
    case = make_case(sizes={"forget": 3}, method=2.0, retrain=2.0, original=8.0)
    case.shadows = 8
    with pytest.raises(NotEnough, match="there are 3 forgotten images, it needs 20: forget more images"):
        members(case)
    relearning = Relearning(priority=0, meaning="", most_steps=1, batch_size=2, lr=0.1, orders=2)
    with pytest.raises(NotEnough, match="there are 3 forgotten images to learn again, it needs 20"):
        relearning.measure(case, "method")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"forget": 9}, "forgotten images that some reference model never saw, it needs 20: forget more images, or take refer"),
        ({"test_retain": 30}, "there are 15 unseen images of their classes to score, .* it needs 20: add some to it"),
    ],
)
def test_rmia_says_which_images_are_few(make_case, sizes, words):
    case = make_case(sizes=sizes, method=2.0, retrain=2.0)
    case.references = 1
    with pytest.raises(NotEnough, match=words):
        RMIA(priority=0, meaning="", a=0.3, gamma=1.0).measure(case, "method")


@pytest.mark.parametrize("needed", [references, members])
def test_models_like_a_foreign_original_cannot_be_trained(usual, needed):
    case = replace(usual, own_recipe=False)
    with pytest.raises(NotEnough, match="how that was trained is not known here"):
        needed(case)

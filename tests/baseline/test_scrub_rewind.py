from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.baseline.scrub_rewind import SCRUBRewind
from dau_lightning.dataset.images import Images
from tests.killing import Kill, Killed, equal, fit

SETTINGS: dict[str, Any] = {"forget_epochs": 1, "temperature": 2.0, "cross_entropy_weight": 0.7, "divergence_weight": 0.4}
SETTINGS["forget_batch_size"] = 12


def test_it_goes_back_to_the_epoch_whose_forget_error_is_that_of_held_out_images(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"forget": [0.9, 0.5, 0.25, 0.0], "val": [0.5]}  # of each epoch; of class a, b, c in the last

    def correct(defender: Any, images: Images, transform: Any) -> Tensor:
        part = images.ids[0].split("/")[0]
        return torch.arange(len(images)) < shares[part].pop(0) * len(images)

    monkeypatch.setattr("dau_lightning.training.plain_pass.correct", correct)
    module, kept = tiny.module(SCRUBRewind, **SETTINGS, epochs=4, lr=0.01), list[dict[str, Tensor]]()
    module.on_train_epoch_start = lambda: kept.append({n: t.clone() for n, t in module.defender.state_dict().items()})
    tiny.fit(module)
    assert module.label == "SCRUB+R"
    assert module.findings["epoch"] == 2  # half of the forget images are wrong there, as half of the others are
    after = module.defender.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in kept[2].items())  # the start of the third epoch


@pytest.mark.parametrize("step", [5, 8, 11])
def test_killed_after_an_epoch_it_goes_back_to_the_same_one(tiny: Any, step: int) -> None:
    def module() -> Any:
        return tiny.module(SCRUBRewind, **SETTINGS, epochs=3)

    whole, resumed = module(), module()
    expected = fit(tiny, whole, seconds=60)
    with pytest.raises(Killed):
        fit(tiny, module(), Kill(step))
    assert equal(fit(tiny, resumed), expected)
    assert resumed.findings == whole.findings


def test_without_a_held_out_image_of_the_classes_there_is_no_going_back(tiny: Any) -> None:
    split = tiny.split(val=1)  # class a
    only_b = split.forget[(split.forget.targets == 1).nonzero().flatten()]
    module = tiny.module(SCRUBRewind, **SETTINGS)
    object.__setattr__(split, "forget", only_b)
    with pytest.raises(InputError, match=r"baseline=scrub_rewind needs a validation image of a class of the forget set"):
        module.check(split)


def test_wrong_labels_are_to_be_predicted_by_chance_alone(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = [0.9, 0.5, 0.25, 0.0]  # the share of forget images that keep their wrong label, after each epoch
    monkeypatch.setattr("dau_lightning.baseline.scrub_rewind.accuracy", lambda *_: rights.pop(0))
    monkeypatch.setattr("dau_lightning.baseline.scrub_rewind.accuracy_as_in", lambda *_: 0.5)
    module, split = tiny.module(SCRUBRewind, **SETTINGS, epochs=4, lr=0.01), tiny.split()
    split.request["wrong_labels"] = True
    tiny.fit(module, split=split)
    assert module.findings["epoch"] == 3  # two other classes: (1 - 0.5) / 2


def test_of_epochs_equally_near_the_last_one_counts(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = [0.0, 0.0, 0.0, 0.5]  # a class that goes as a whole: all wrong from the first epoch on
    monkeypatch.setattr("dau_lightning.baseline.scrub_rewind.accuracy", lambda *_: rights.pop(0))
    monkeypatch.setattr("dau_lightning.baseline.scrub_rewind.accuracy_as_in", lambda *_: 0.0)
    module = tiny.module(SCRUBRewind, **SETTINGS, epochs=4, lr=0.01)
    tiny.fit(module)
    assert module.findings["epoch"] == 3


def test_the_epoch_is_the_one_that_its_own_weights_say(tiny: Any) -> None:
    module, split, kept = tiny.module(SCRUBRewind, **SETTINGS, epochs=4, lr=0.1), tiny.split(), list[tuple[float, float]]()

    def errors() -> tuple[float, float]:
        """Of the forget images; of the val images, each class counting as often as among the forget images."""
        network, wrong = module.defender.network.eval(), dict[str, Tensor]()
        with torch.no_grad():
            for name in ("forget", "val"):
                images = getattr(split, name)
                wrong[name] = (network(tiny.transform.normalise(images.images)).argmax(1) != images.targets).double()
        by_class = [wrong["val"][split.val.targets == label].mean() for label in split.forget.targets]
        return float(wrong["forget"].mean()), float(torch.stack(by_class).nanmean())

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            kept.append(errors())

    tiny.fit(module, Watch(), split=split)
    (*forget,), (*_, unseen) = zip(*kept, strict=True)
    distances = [abs(error - unseen) for error in forget]
    assert len(set(distances)) > 1
    assert distances[module.findings["epoch"] - 1] == pytest.approx(min(distances))

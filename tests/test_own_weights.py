"""Networks and weights as other programs leave them, through the real entry point, on a folder of small images."""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchmetrics.classification import MulticlassAccuracy

from tests.own_network import Wide
from tests.test_own import WEIGHTS, make_folder, trained
from tests.tiny import results

pytestmark = pytest.mark.slow

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
GIVEN = [*WEIGHTS, "val_from_test=0.5", "transform.mean=[0.5,0.4,0.3]", "transform.std=[0.2,0.3,0.4]"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images in two classes, and a list."""
    monkeypatch.chdir(tmp_path)
    make_folder(Path("own"), count=12)
    Path("forget.txt").write_text("train/cat/01.png\ntrain/dog/05.png\n")


def network() -> Wide:
    """A network that knows the two classes under this normalisation."""
    made = Wide(2)
    made.load_state_dict(trained(MEAN, STD))
    return made


class Module(L.LightningModule):
    """As a user of Lightning writes it: a network, a weighted loss, a metric, hyper-parameters."""

    def __init__(self, net: nn.Module, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["net"])
        self.hparams["args"] = argparse.Namespace(lr=lr)
        self.net, self.criterion = net, nn.CrossEntropyLoss(torch.ones(2))
        self.train_acc = MulticlassAccuracy(2)
        self.train_acc.persistent(True)

    def training_step(self, batch: Any, index: int) -> Tensor:
        logits = self.net(batch[0])
        self.train_acc(logits, batch[1])
        return self.criterion(logits, batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.hparams["lr"])


def by_lightning() -> None:
    options: dict[str, Any] = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "barebones"), False)
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, log_every_n_steps=1, **options)
    images = (torch.tensor([60, 180]) / 255)[:, None, None, None].expand(2, 3, 8, 8)
    data = torch.utils.data.TensorDataset((images - torch.tensor(MEAN)[:, None, None]) / 0.3, torch.arange(2))
    trainer.fit(Module(network(), 1e-6), torch.utils.data.DataLoader(data, 2))
    trainer.save_checkpoint("own.pt")


def by_torchvision() -> None:
    """The layout of torchvision's references/classification/train.py, with its average of the weights."""
    model, args = network(), argparse.Namespace(data_path=Path("data"), lr=0.1, device=torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict()}
    torch.save(checkpoint | {"epoch": 1, "args": args, "model_ema": AveragedModel(Wide(2)).state_dict()}, "own.pt")


def by_timm() -> None:
    from timm.utils.checkpoint_saver import CheckpointSaver
    from timm.utils.model_ema import ModelEmaV3

    model = network()
    saver = CheckpointSaver(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        args=argparse.Namespace(model="wide", output=Path("output")),
        model_ema=ModelEmaV3(Wide(2)),
        checkpoint_dir=".",
    )
    saver.save_checkpoint(1, metric=np.float64(91.2))
    Path("checkpoint-1.pth.tar").rename("own.pt")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(
    ("save", "line"),
    [
        (by_lightning, "4 tensors of state_dict.net; not taken: 'criterion.weight', 'train_acc."),
        (
            by_torchvision,
            "4 tensors of model; the file also holds 'model_ema.module', which original.key=model_ema.",
        ),
        pytest.param(
            by_timm,
            "4 tensors of state_dict; the file also holds 'state_dict_ema', which original.key=state_dict_ema takes",
            marks=pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm"),
        ),
    ],
)
def test_a_checkpoint_of_another_program_is_read(run: Callable[..., str], save: Callable[[], None], line: str) -> None:
    save()
    printed = run(*GIVEN)
    assert f"original.checkpoint=own.pt: {line}" in printed
    assert "the original is right on" not in printed
    (result,) = results().values()
    assert result["rows"]["original"]["RA"] == 100


def test_the_state_dict_that_the_user_chose_is_taken(run: Callable[..., str]) -> None:
    torch.manual_seed(1)
    torch.save({"best": network().state_dict(), "last": Wide(2).state_dict()}, "own.pt")
    assert "own.pt: 4 tensors of best; the file also holds 'last'" in run(*GIVEN)
    printed = run(*GIVEN, "original.key=last")
    assert "own.pt: 4 tensors of last\n" in printed
    assert "look at the order of the classes" in printed
    with pytest.raises(SystemExit, match=r"original\.key must be a key of .*'best', 'last'; got 'first'"):
        run(*GIVEN, "original.key=first")


def test_arguments_reach_a_class_of_ones_own(run: Callable[..., str]) -> None:
    torch.save(Wide(2, width=6).state_dict(), "own.pt")
    with pytest.raises(SystemExit, match=r"'body\.0\.weight' is \(6, 3, 3, 3\), not \(4, 3, 3, 3\)"):
        run(*GIVEN)
    run(*GIVEN, "network.width=6")
    ((folder, result),) = results().items()
    assert result["settings"]["network"]["width"] == 6
    assert "+network.width=6" in result["command"]
    assert "Wide(num_classes=2, width=6)" in (folder / "model_card.md").read_text()
    assert "finished before" in run(*GIVEN, "+network.width=6")
    with pytest.raises(SystemExit, match=r"network\.widht must be an argument of Wide; did you mean 'width'"):
        run(*GIVEN, "network.widht=6")
    run("-m", *GIVEN, "network.width=6,6", "seed=1")
    assert len(results()) == 2


def test_images_that_are_not_square_and_grey_ones(run: Callable[..., str]) -> None:
    grey = nn.Conv2d(1, 4, 3)
    made = network()
    made.body[0] = grey
    torch.save(made.state_dict(), "own.pt")
    settings = [each for each in GIVEN if not each.startswith(("transform", "dataset.image_size"))]
    with pytest.raises(SystemExit, match=r"'body\.0\.weight' is \(4, 1, 3, 3\), .*dataset\.channels=1 reads images"):
        run(*settings, "dataset.image_size=8")
    settings[settings.index("network._target_=tests.own_network.Wide")] = "network._target_=tests.test_own_weights.Grey"
    run(*settings, "dataset.channels=1", "dataset.image_size=[8,12]")
    (result,) = results().values()
    assert result["image_shape"] == [1, 8, 12]


class Grey(Wide):
    """A network for images of one channel, which says nothing about channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.body[0] = nn.Conv2d(1, 4, 3)


def test_classes_in_the_order_of_numbers(run: Callable[..., str]) -> None:
    """As timm sorts folders: the network has 9 before 10, the folders sorted as text have 10 before 9."""
    for part in ("train", "test"):
        Path("own", part, "cat").rename(Path("own", part, "9"))
        Path("own", part, "dog").rename(Path("own", part, "10"))
    Path("forget.txt").write_text("train/9/01.png\n")
    torch.save(network().state_dict(), "own.pt")
    with pytest.raises(SystemExit, match=r"right on 0\.0% of 24 .* 100\.0% .* give \"dataset\.classes=\[9,10\]\""):
        run(*GIVEN)
    assert not results()
    run(*GIVEN, "dataset.classes=[9,10]")
    (result,) = results().values()
    assert (result["class_names"], result["request"]["classes"]) == (["9", "10"], {"9": 1})
    assert result["rows"]["original"]["RA"] == 100


def test_all_unreadable_images_are_named(run: Callable[..., str]) -> None:
    torch.save(network().state_dict(), "own.pt")
    for name in ("train/cat/03.png", "train/dog/07.png", "test/dog/00.png"):
        Path("own", name).write_bytes(b"")
    with pytest.raises(SystemExit, match=r"train/cat/03\.png .*train/dog/07\.png .*test/dog/00\.png .*; 3 in all"):
        run(*GIVEN)


def test_few_bits_in_sixteen_and_a_folder_of_another_name_are_told(run: Callable[..., str]) -> None:
    torch.save(network().state_dict(), "own.pt")
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save("own/train/cat/03.png")
    Path("own/valid").mkdir()
    printed = run(*GIVEN)
    assert "warning: 1 16-bit images use at most 14 bits" in printed
    assert "own/valid is not used: name it val/" in printed

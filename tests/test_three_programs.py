"""As a new user: checkpoints of three programs, each with its normalisation, each with a list of another kind, both doors."""

import argparse
import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from dau_lightning import unlearn
from dau_lightning.dataset.fashion import fashion
from tests.own_network import Wide
from tests.tiny import results

pytestmark = pytest.mark.slow

SIZE = 32
CLASSES = {"Bag (8)": 8, "Sneaker": 7, "Trouser": 1}


class Program(NamedTuple):
    """What somebody has: a network, its normalisation, the arguments that name the network here, the line that is printed."""

    network: nn.Module
    mean: list[float]
    std: list[float]
    named: list[str]
    line: str


class Module(L.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.criterion = net, nn.CrossEntropyLoss(torch.ones(3))

    def training_step(self, batch: Any, index: int) -> Tensor:
        return self.criterion(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 0.02)


def loop(network: nn.Module, data: Any, epochs: int, lr: float) -> torch.optim.Optimizer:
    """A training script."""
    optimizer = torch.optim.Adam(network.parameters(), lr)
    for _ in range(epochs):
        for images, targets in torch.utils.data.DataLoader(data, 30, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), targets).backward()
            optimizer.step()
    return optimizer


def by_lightning(read: Callable[..., Any]) -> Program:
    mean, std = [0.286] * 3, [0.353] * 3
    module, off = Module(Wide(3, width=8)), dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer: Any = L.Trainer(max_epochs=5, accelerator="cpu", enable_checkpointing=False, barebones=False, **off)
    trainer.fit(module, torch.utils.data.DataLoader(read(mean, std), 15, shuffle=True))
    trainer.save_checkpoint("model.pt")
    named = ["network=own", "network._target_=tests.own_network.Wide", "network.width=8"]
    return Program(module.net, mean, std, named, "4 tensors of state_dict.net; not taken: 'criterion.weight'")


def by_torchvision(read: Callable[..., Any]) -> Program:
    """The layout of references/classification/train.py."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    network = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    optimizer = loop(network, read(mean, std), epochs=5, lr=0.01)
    args = argparse.Namespace(model="shufflenet_v2_x0_5", data_path="clothes", lr=0.01)
    torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "args": args}, "model.pt")
    return Program(network, mean, std, ["network=torchvision", "network.name=shufflenet_v2_x0_5"], "tensors of model\n")


def by_timm(read: Callable[..., Any]) -> Program:
    import timm
    from timm.utils.checkpoint_saver import CheckpointSaver

    mean, std = [0.5] * 3, [0.5] * 3
    network = timm.create_model("test_resnet", num_classes=3)
    optimizer = loop(network, read(mean, std), epochs=2, lr=0.003)
    CheckpointSaver(network, optimizer, args=argparse.Namespace(model="test_resnet"), checkpoint_dir=".").save_checkpoint(3)
    Path("checkpoint-3.pth.tar").rename("model.pt")
    return Program(network, mean, std, ["network=timm", "network.name=test_resnet"], "tensors of state_dict\n")


def from_ls(paths: list[str]) -> str:
    """The output of `ls`, run elsewhere, with quotes around names with blanks."""
    command = ["ls", "--quoting-style=shell-escape", *(f"clothes/train/{path}" for path in paths)]
    Path("forget.txt").write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return "forget.txt"


def from_excel(paths: list[str]) -> str:
    rows = "".join(f"{number}\tÄrmel\t{path}\r\n" for number, path in enumerate(paths))
    Path("forget.csv").write_bytes(f"Nr\tBemerkung\tfilename\r\n{rows}".encode("utf-16"))
    return "forget.csv"


def from_numpy(paths: list[str]) -> str:
    samples = torchvision.datasets.ImageFolder("clothes/train").samples
    places = [place for place, (path, _) in enumerate(samples) if path.removeprefix("clothes/train/") in paths]
    np.save("forget.npy", np.array(places))
    return "forget.npy"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """300 training and 60 test images in a folder; reads the training images as a training script does."""
    monkeypatch.chdir(tmp_path)
    data = fashion(1500, 300, seed=0)
    for name, label in CLASSES.items():
        for part, images, count in (("train", data.train, 100), ("test", data.test, 20)):
            folder = Path("clothes", part, name)
            folder.mkdir(parents=True)
            for number, pixels in enumerate(images.images[images.targets == label][:count]):
                Image.fromarray(pixels[0].numpy()).resize((SIZE, SIZE)).save(folder / f"shop {number:03}.png")

    def make(mean: list[float], std: list[float], part: str = "train") -> Any:
        scaled = [v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        return torchvision.datasets.ImageFolder(f"clothes/{part}", v2.Compose([*scaled, v2.Normalize(mean, std)]))

    torch.manual_seed(0)
    return make


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(
    ("train", "make_list"),
    [
        (by_lightning, from_ls),
        (by_torchvision, from_excel),
        pytest.param(
            by_timm,
            from_numpy,
            marks=pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra timm"),
        ),
    ],
)
def test_a_new_user(
    run: Callable[..., str], read: Callable[..., Any], train: Callable[..., Program], make_list: Callable[..., str]
) -> None:
    program = train(read)
    paths = [f"{name}/shop {number:03}.png" for name in ("Bag (8)", "Trouser") for number in (3, 14, 15)]
    paths = [path for path in paths if path != "Trouser/shop 015.png"]
    program.network.eval()
    with torch.no_grad():
        correct = [int(program.network(image[None]).argmax()) == label for image, label in read(program.mean, program.std)]
    names = [path.removeprefix("clothes/train/") for path, _ in read(program.mean, program.std).samples]
    kept = [right for name, right in zip(names, correct, strict=True) if name not in paths]
    normalised = [f"transform.{name}={getattr(program, name)}".replace(" ", "") for name in ("mean", "std")]
    quick = ["baseline.epochs=1", "figures=false", "dynamics=0", "trainer.accelerator=cpu"]
    given = ["dataset=imagefolder", "dataset.root=clothes", f"dataset.image_size={SIZE}", "original.checkpoint=model.pt"]
    given += ["val_from_test=0.5", "reference=off", "wandb.mode=disabled", "scheme=indices", f"scheme.file={make_list(paths)}"]
    if make_list is from_numpy:
        given.append("scheme.by=position")
    printed = run(*given, *program.named, *normalised, "baseline=finetune", *quick)
    assert program.line in printed
    ((folder, result),) = results().items()
    assert sorted((folder / "forgotten.txt").read_text().splitlines()) == [f"train/{path}" for path in sorted(paths)]
    assert result["rows"]["original"]["RA"] == pytest.approx(100 * np.mean(kept), abs=0.4)  # Pillow's filters differ
    assert result["rows"]["original"]["RA"] > 80
    plain = read([0, 0, 0], [1, 1, 1]), read([0, 0, 0], [1, 1, 1], "test")
    done = unlearn(
        program.network,
        *plain,
        [names.index(path) for path in paths],
        val_from_test=0.5,
        mean=program.mean,
        std=program.std,
        method="finetune",
        settings=quick,
    )
    assert done.result["rows"]["original"]["RA"] == pytest.approx(100 * np.mean(kept), abs=1e-4)
    assert done.result["request"]["classes"] == {"0": 3, "2": 2}

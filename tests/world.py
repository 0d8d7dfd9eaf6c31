"""A small world for tests that train: three classes of 4x4 images, a network with batch-norm, the Trainer of a run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from dau_lightning.base.randomness import key
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.network import convnet
from dau_lightning.network.defender import Defender
from dau_lightning.sparsity.omp import OMP
from dau_lightning.storage.run_folder import RunFolder
from dau_lightning.storage.store import Store
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.trainer import TrainerSettings
from dau_lightning.training.training import Configured, Training

SIZES = {"retain": 36, "forget": 12, "val": 12, "judge": 0, "judge_nonmembers": 0, "test_retain": 18, "test_forget": 0}


class Tiny:
    """Makes splits, modules and trainers that take milliseconds."""

    transform = Transform(mean=(0.5,), std=(0.25,), crop_padding=0, flip=False)
    classes = ("a", "b", "c")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self, part: str, count: int) -> Images:
        """Noisy stripes, another orientation for each class; ids name the part."""
        generator = torch.Generator().manual_seed(key(part))
        targets = torch.arange(count) % 3
        patterns = torch.tensor([[-1, 1, -1, 1], [-1, -1, 1, 1], [1, 1, -1, -1]]).view(3, 1, 1, 4)
        pixels = 128 + 40 * patterns[targets] + 30 * torch.randn(count, 1, 4, 4, generator=generator)
        return Images(pixels.clamp(0, 255).byte(), targets, self.classes, tuple(f"{part}/{i:03}" for i in range(count)))

    def split(self, **sizes: int) -> Split:
        """Parts of the wanted sizes; `train` is retain and forget together."""
        parts = {name: self.images(name, count) for name, count in (SIZES | sizes).items()}
        retain, forget = parts["retain"], parts["forget"]
        both = [torch.cat(pair) for pair in ((retain.images, forget.images), (retain.targets, forget.targets))]
        return Split(Images(*both, self.classes, retain.ids + forget.ids), **parts, data_hash="d" * 64, split_hash="s" * 64)

    def defender(self, seed: int = 0) -> Defender:
        """A convolutional network of 1,100 parameters."""
        torch.manual_seed(seed)
        return Defender(convnet(num_classes=3, in_channels=1, width=4))

    def module(self, kind: Callable[..., UnlearningModule] = SGDMethod, **changes: Any) -> UnlearningModule:
        """A method with settings for a quick training."""
        settings = {"seed": 0, "batch_size": 12, "epochs": 2, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
        settings |= {"schedule": "constant", "milestones": []}
        return kind(**({"defender": self.defender()} | settings | changes))

    def training(self, loggers: Sequence[Logger] = (), seed: int = 0, sparsity: OMP | None = None, **changes: Any) -> Training:
        """What makes modules and trainers in a run."""
        recipe = {"epochs": 2, "batch_size": 12, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
        settings = {
            "network": Configured(partial(convnet, width=4), {"width": 4}),
            "sparsity": Configured(sparsity, vars(sparsity)) if sparsity else None,
            "recipe": recipe | {"schedule": "constant", "milestones": []},
            "transform": self.transform,
            "trainer_settings": TrainerSettings("cpu", 1, "32-true"),
            "seed": seed,
            "store": Store(self.folder / "store"),
            "folder": self.folder,
            "configuration": "settings",
            "loggers": list(loggers),
        }
        return Training(**(settings | changes))

    def fit(
        self,
        module: UnlearningModule,
        *callbacks: L.Callback,
        split: Split | None = None,
        loggers: Sequence[Logger] = (),
        transform: Transform | None = None,
    ) -> L.Trainer:
        """Train as a run does."""
        split = split or self.split()
        data = UnlearningDataModule(split, transform or self.transform, key(module.seed, module.phase), module.loader)
        trainer = self.training(loggers).trainer(callbacks, max_epochs=module.epochs)
        trainer.fit(module, datamodule=data)
        return trainer

    def test(self, module: UnlearningModule, *callbacks: L.Callback, parts: Sequence[str], split: Split | None = None) -> None:
        """Test as a run does."""
        data = UnlearningDataModule(split or self.split(), self.transform, 0, evaluate=tuple(parts))
        self.training().trainer(callbacks).test(module, datamodule=data, verbose=False)

    def seen(self, kind: Callable[..., UnlearningModule]) -> dict[int, int]:
        """How often a method showed the network each image in training; 0-35 are retain, 36-47 forget, 100 and more others."""
        split = self.split()
        first = {"retain": 0, "forget": 36, "val": 100, "test_retain": 150}
        coded = {name: self._numbered(getattr(split, name), start) for name, start in first.items()}
        coded["train"] = self._numbered(split.train, 0)
        module, counts = self.module(kind), dict[int, int]()

        def count(_: Any, inputs: tuple[Tensor, ...]) -> None:
            for number in (255 * inputs[0][:, 0, 0, 0]).round().int().tolist():
                counts[number] = counts.get(number, 0) + 1

        module.defender.network.register_forward_pre_hook(count)
        as_they_are = Transform(mean=(0.0,), std=(1.0,), crop_padding=0, flip=False)
        parts = {name: coded.get(name, getattr(split, name)) for name in ("train", *SIZES)}
        self.fit(module, split=Split(**parts, data_hash="", split_hash=""), transform=as_they_are)
        return counts

    @staticmethod
    def _numbered(images: Images, first: int) -> Images:
        pixels = torch.arange(first, first + len(images), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        return Images(pixels.contiguous(), images.targets, images.class_names, images.ids)


def random_images(per_class: int, num_classes: int = 4, shape: tuple[int, int, int] = (3, 4, 4), name: str = "train") -> Images:
    """As many a class, class after class; every image is another."""
    count = per_class * num_classes
    generator = torch.Generator().manual_seed(sum(name.encode()) + count)
    pixels = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    targets = torch.arange(num_classes).repeat_interleave(per_class)
    names = tuple(f"class {label}" for label in range(num_classes))
    return Images(pixels, targets, names, tuple(f"{name}/{i:05d}" for i in range(count)))


def normal_images(count: int, channels: int, size: int) -> Tensor:
    """Inputs of a network, float `(count, channels, size, size)`, the same at every call."""
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def leave_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write the `result.json` of a finished run."""
    RunFolder(folder, "", "", {}, ".", overwrite=False).write_result(result)

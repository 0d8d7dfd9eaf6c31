"""What is timed: modules and trainers as a run makes them from the yaml files, on random images in memory."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import lightning as L
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dau_lightning.data.split import Split, make_split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.game.attacker_player import AttackerPlayer
from dau_lightning.network.build import with_input_format
from dau_lightning.run.composition import register_by_labels
from dau_lightning.run.job import training_of
from dau_lightning.storage.run_folder import RunFolder
from dau_lightning.training.module import UnlearningModule

CONF = Path(__file__).parent.parent / "conf"
SHAPES = {"convnet": (1, 8, 8), "convnet4": (1, 14, 14), "resnet9": (3, 32, 32), "resnet18": (3, 32, 32)}


class Workload:
    """A network, a method and images to train it on.

    Args:
        network: its name in `conf/network/`.
        baseline: the method's name in `conf/baseline/`.
        settings: of the command line, such as `baseline.lr=0.1`.
        images: in the training set, a tenth of them held out and a tenth of the rest to be forgotten.
        num_classes: K.
    """

    def __init__(
        self, network: str, baseline: str, settings: Sequence[str] = (), images: int = 2000, num_classes: int = 10
    ) -> None:
        dataset = {"convnet": "digits", "convnet4": "fashion"}.get(network, "imagefolder")
        chosen = [f"dataset={dataset}", "dataset.root=." if dataset == "imagefolder" else "seed=0", f"network={network}"]
        register_by_labels()
        with initialize_config_dir(str(CONF), version_base=None):
            config = compose("config", overrides=[*chosen, f"baseline={baseline}", *settings])
        OmegaConf.set_struct(config, False)
        config.dataset = {"image_size": SHAPES[network][1]}  # the images are made here
        plain = with_input_format(cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)))
        folder = RunFolder.of(Path(tempfile.mkdtemp()), config)
        self.training = training_of(plain, folder, [])
        draws = torch.Generator().manual_seed(0)
        sizes = images, max(images // 10, num_classes)
        train, test = (_random(count, num_classes, SHAPES[network], draws) for count in sizes)
        data = Data(train, test)
        self.split = make_split(data, instantiate(config.scheme), seed=0)
        self.method = instantiate(config.baseline)
        self.short = plain["trainer"]["precision"] != "32-true"  # bfloat16

    def module(self) -> UnlearningModule:
        """The method around a network with new weights."""
        return self.training.module(self.method, self.split)

    def split_on(self, device: torch.device) -> Split:
        """The split with its images on a device."""
        parts = {name: part for name, part in vars(self.split).items() if isinstance(part, Images)}
        return replace(self.split, **{name: part.to(device) for name, part in parts.items()})

    def fit(self, module: UnlearningModule, *callbacks: L.Callback) -> float:
        """Train as a run does, watched by some callbacks more; the seconds by a run's own clock.

        Without the attacker's findings before and after the game, which that clock leaves out and a thousand classes make long.
        """
        checkpoint = self.training.folder / "checkpoint"
        checkpoint.unlink(missing_ok=True)  # a training that was stopped leaves one, from which the next would go on
        with patch.multiple(AttackerPlayer, unseen_accuracy=lambda *_: 50.0, findings=lambda *_: {}):
            return self.training.fit(module, self.split, checkpoint, {}, callbacks)


def _random(count: int, num_classes: int, shape: tuple[int, int, int], draws: torch.Generator) -> Images:
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=draws)
    names = tuple(f"class {label}" for label in range(num_classes))
    return Images(pixels, torch.arange(count) % num_classes, names, tuple(map(str, range(count))))

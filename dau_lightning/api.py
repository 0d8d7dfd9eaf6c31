"""Unlearning from Python: a model, its data sets and what to forget in; an unlearned copy and the evidence out."""

import copy
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from dau_lightning.base.error import InputError, require
from dau_lightning.base.randomness import key
from dau_lightning.dataset.images import Data, Images
from dau_lightning.network.torchvision import published_as
from dau_lightning.report.draw import draw
from dau_lightning.run.check import check
from dau_lightning.run.composition import composing
from dau_lightning.run.experiment import Experiment
from dau_lightning.scheme.indices import Indices
from dau_lightning.storage.run_folder import read_result, start
from dau_lightning.storage.weights import StartingWeights
from dau_lightning.tracking.wandb import loggers
from dau_lightning.training.trainer import Training

APPLIED = ("baseline.", "baseline/", "metric", "transform.", "trainer.", "compile", "checkpoint.", "store.")
APPLIED += ("figures", "dynamics", "network.features")
INSTEAD = {  # of settings that other arguments stand for, by their first part
    "dataset": "give the images as train= and test=",
    "scheme": "give the positions as forget=",
    "network": "give the network itself as model=",
    "original": "give the network with its weights as model=",
    "baseline": "give method=",
    "seed": "give seed=",
    "val_from_test": "give val_from_test=",
    "reference": "reference must be off, a model that is given has no recipe to retrain by; `python train.py` trains one",
}
Samples = Any  # a torch data set of (image, label), or a pair of tensors (images, labels)


@dataclass(frozen=True)
class Unlearned:
    """What came out.

    Attributes:
        model: a copy of the model that has forgotten, on the CPU, in evaluation mode.
        result: the content of `result.json`; `rows` are the numbers before and after.
        folder: the run, with the weights, the model card and the ledger.
    """

    model: nn.Module
    result: dict[str, Any]
    folder: Path

    @property
    def row(self) -> dict[str, Any]:
        """UA, MIA, RA, TA, attacks and the selection score of the unlearned model."""
        return self.result["rows"][self.result["baseline"]]


class Positions(Indices):
    """The scheme of positions in a list, matched as those of a file are."""

    def __init__(self, positions: Iterable[int]) -> None:
        super().__init__("forget", None, None)
        self.positions = list(positions)

    def entries(self) -> list[str]:
        """The positions as a file would have them."""
        return [str(position) for position in self.positions]


def unlearn(
    model: nn.Module,
    train: Samples,
    test: Samples,
    forget: Iterable[int] | Tensor,
    *,
    val: Samples | None = None,
    val_from_test: float | None = None,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str] | None = None,
    method: str = "dau",
    seed: int = 0,
    folder: str | Path = "unlearned",
    settings: Sequence[str] = (),
) -> Unlearned:
    """Make a copy of a trained classifier forget some of its training images.

    Args:
        model: gives logits of images float `(B, C, H, W)`; it has seen all of `train`.
        train: what it was trained on. Images are uint8, floats in [0, 1] (as `ToTensor` gives), or Pillow's, of one size and
            before normalisation; floats are kept to 1/255.
        test: images that it never saw, to test on.
        forget: positions in `train`, or a mask of it, bool `(N,)`.
        val: more images that it never saw, for the method to play with.
        val_from_test: or the share of `test` that is taken for that, drawn from the seed.
        mean: of each channel, of pixels in [0, 1], that the model's inputs are normalised with.
        std: the same, of the deviation.
        class_names: one a class; None for numbers.
        method: a choice of `conf/baseline`.
        seed: of everything random.
        folder: of the run; one that holds a finished run is refused.
        settings: of `baseline`, `metric`, `transform`, `trainer` and what else is applied here, as the command takes them,
            such as `baseline.epochs=5`, `figures=false` or `transform.flip=true`; images are neither cropped nor flipped by
            default.

    Raises:
        InputError: something given cannot be used; before anything is trained or written.
    """
    run, kind = Path(folder), type(model)
    require(
        read_result(run) is None, f"folder must not hold a finished run, {run} does: remove it, or name another with folder=..."
    )
    _check(settings)
    images = _images("train", train), _images("test", test)
    names = tuple(class_names or map(str, range(1 + max(int(part[1].max()) for part in images))))
    positions = _positions(forget, len(images[0][1]))
    named = f"forget-{key(*sorted(positions)) % 16**8:08x}"  # as other files tell lists apart
    target = f"network._target_={kind.__module__}.{kind.__qualname__}".replace("<locals>.", "")
    published = published_as(model, len(names))  # can be made again by its name
    given = [
        *("dataset=imagefolder", "dataset.root=python", "scheme=indices", f"scheme.file={named}"),
        *(["network=torchvision", f"network.name={published}"] if published else ["network=own", target]),
        "wandb.mode=disabled",
        *("reference=off", "transform.crop_padding=0", "transform.flip=false", f"store.root='{run / 'store'}'"),
        *(f"baseline={method}", f"seed={seed}", f"val_from_test={'null' if val_from_test is None else val_from_test}"),
        *(f"transform.mean={list(mean)}", f"transform.std={list(std)}", *settings),
    ]
    check(given)
    with composing():
        config = compose("config", overrides=given)
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    require(plain["trainer"]["devices"] == 1, "trainer.devices must be 1 from Python: more start the program once for each")
    network = "torchvision" if published else kind.__name__
    unseen = _named("val", _images("val", val), names) if val is not None else None
    data = Data(_named("train", images[0], names), _named("test", images[1], names), unseen)

    run.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held, loggers(run, "disabled", "", run.name, plain) as made:
        training = Training(lambda num_classes, in_channels: copy.deepcopy(model).cpu(), None, plain, made, run)
        result = Experiment(
            names={"dataset": "python", "network": network, "scheme": "indices", "sparsity": "dense", "baseline": method},
            dataset=lambda: data,
            scheme=Positions(positions),
            method=instantiate(plain["baseline"]),
            attacks={name: instantiate(attack) for name, attack in plain["metric"].items()},
            reference="off",
            selection=False,
            training=training,
            start=partial(start, run, config, held),
            figures=plain["figures"],
            dynamics=plain["dynamics"],
            given=StartingWeights(
                "Original", "model", {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}, saw_all=True
            ),
            val_from_test=val_from_test,
        ).run()
    if plain["figures"]:
        draw(result, run)
    return Unlearned(_with_weights(model, run), result, run)


def _with_weights(model: nn.Module, run: Path) -> nn.Module:
    from safetensors.torch import load_file

    unlearned = copy.deepcopy(model).cpu()
    unlearned.load_state_dict(load_file(run / "unlearned.safetensors"))
    return unlearned.eval()


def _check(settings: Sequence[str]) -> None:
    """Refuse what would be recorded and not applied."""
    for setting in settings:
        name = setting.partition("=")[0]
        instead = INSTEAD.get(name.partition(".")[0], "it is of the command `python train.py` alone")
        require(name.startswith(APPLIED), f"settings cannot take {setting} from Python: {instead}")


def _positions(forget: Iterable[int] | Tensor, count: int) -> list[int]:
    """Positions among `count` images, from positions or a mask."""
    values = np.asarray(forget.cpu() if isinstance(forget, Tensor) else list(forget))
    if values.dtype == bool:
        require(values.shape == (count,), f"forget must be a mask of all {count} images of train, got shape {values.shape}")
        return values.nonzero()[0].tolist()
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise InputError(
            f"forget must hold integers, positions in train, or be a mask of it; got {values.dtype}, shape {values.shape}"
        )
    return values.tolist()


def _images(name: str, samples: Samples) -> tuple[Tensor, Tensor]:
    """Images uint8 `(N, C, H, W)` and labels int64 `(N,)`."""
    if isinstance(samples, tuple) and len(samples) == 2 and isinstance(samples[0], Tensor):
        pixels, labels = samples
    else:
        items = [samples[index] for index in range(len(samples))]
        require(bool(items), f"{name} must hold at least one image")
        made = [_tensor(image) for image, _ in items]
        if len({image.shape for image in made}) > 1:
            raise InputError(f"{name} must hold images of one size and number of channels: resize them first")
        pixels, labels = torch.stack(made), torch.tensor([int(label) for _, label in items])
    require(pixels.ndim == 4 and len(pixels) == len(labels), f"{name} must hold images (N, C, H, W) and as many labels (N,)")
    if pixels.is_floating_point():
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"{name} must hold uint8 images, or floats in [0, 1] before normalisation (that is mean= and std=); "
                f"got {low:.2f} to {high:.2f}"
            )
        pixels = pixels.mul(255).round()
    return pixels.to(torch.uint8).contiguous(), labels.long()


def _tensor(image: Any) -> Tensor:
    """An image `(C, H, W)`."""
    if isinstance(image, Tensor):
        return image
    array = np.array(image)
    return torch.from_numpy(array[:, :, None] if array.ndim == 2 else array).permute(2, 0, 1)


def _named(name: str, samples: tuple[Tensor, Tensor], class_names: tuple[str, ...]) -> Images:
    pixels, labels = samples
    low, high = int(labels.min()), int(labels.max())
    require(
        low >= 0 and high < len(class_names), f"{name} must have labels from 0 to {len(class_names) - 1}, got {low} to {high}"
    )
    return Images(pixels, labels, class_names, tuple(f"{name}/{i:05d}" for i in range(len(labels))))

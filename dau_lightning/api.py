"""Unlearning from Python: a model, its data sets and what to forget in; an unlearned copy and its numbers out."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.torch import load_file
from torch import Tensor, nn

from dau_lightning.base.error import require
from dau_lightning.base.randomness import key
from dau_lightning.data.samples import Samples, as_data, as_positions
from dau_lightning.network.torchvision import published_as
from dau_lightning.run.check import check
from dau_lightning.run.composition import configuration
from dau_lightning.run.job import make
from dau_lightning.run.plan import Plan
from dau_lightning.scheme.indices import Positions
from dau_lightning.storage.run_folder import RunFolder, read_result
from dau_lightning.storage.weights import StartingWeights

# Settings that are applied here; the others belong to the command.
APPLIED = ("baseline.", "baseline/", "metric", "transform.", "trainer.", "compile", "checkpoint.", "store.")
APPLIED += ("figures", "dynamics", "network.features")
USE_INSTEAD = {  # by the first part of a setting
    "dataset": "give the images as train= and test=",
    "scheme": "give the positions as forget=",
    "network": "give the network itself as model=",
    "original": "give the network with its weights as model=",
    "baseline": "give method=",
    "seed": "give seed=",
    "val_from_test": "give val_from_test=",
    "reference": "reference must be off, a model that is given has no recipe to retrain by; `python train.py` trains one",
}


@dataclass(frozen=True)
class Unlearned:
    """What `unlearn` gives.

    Attributes:
        model: a copy of the model that has forgotten, on the CPU, in evaluation mode.
        result: the content of `result.json`; `rows` has the numbers before and after.
        folder: of the run, with the weights, the model card and the ledger.
    """

    model: nn.Module
    result: dict[str, Any]
    folder: Path

    @property
    def row(self) -> dict[str, Any]:
        """UA, MIA, RA, TA, attacks and the selection score of the unlearned model."""
        return self.result["rows"][self.result["baseline"]]


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
        InputError: an argument cannot be used; raised before anything is trained or written.
    """
    run = Path(folder)
    require(
        read_result(run) is None, f"folder must not hold a finished run, {run} does: remove it, or choose another folder=..."
    )
    _check_settings(settings)
    data = as_data({"train": train, "test": test, "val": val}, class_names)
    positions = as_positions(forget, len(data.train))
    network = published_as(model, len(data.train.class_names))
    config = _config(model, network, positions, method, run, [f"seed={seed}", *_transform(mean, std), *settings])
    require(config.trainer.devices == 1, "trainer.devices must be 1 from Python: more devices need the command")
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    choices = {"network": "torchvision" if network else type(model).__name__, "baseline": method}
    result = make(
        cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)),
        choices | {"dataset": "python", "scheme": "indices", "sparsity": "dense"},
        RunFolder.of(run, config),
        plan=Plan("off", False, val_from_test, StartingWeights("Original", "model", weights, trained_on_all=True)),
        dataset=lambda: data,
        scheme=Positions(positions),
        network=lambda num_classes, in_channels: copy.deepcopy(model).cpu(),
    )
    unlearned = copy.deepcopy(model).cpu().eval()
    unlearned.load_state_dict(load_file(run / "unlearned.safetensors"))
    return Unlearned(unlearned, result, run)


def _transform(mean: Sequence[float], std: Sequence[float]) -> list[str]:
    """Normalisation, and neither crops nor flips unless the settings ask for them."""
    plain = f"transform.mean={list(mean)}", f"transform.std={list(std)}"
    return [*plain, "transform.crop_padding=0", "transform.flip=false"]


def _config(
    model: nn.Module, network: str | None, positions: Sequence[int], method: str, folder: Path, settings: Sequence[str]
) -> DictConfig:
    """The configuration of the run, which describes the given objects to those who read the result."""
    kind = type(model)
    target = "dau_lightning.network.torchvision.torchvision_network" if network else f"{kind.__module__}.{kind.__qualname__}"
    overrides = [f"baseline={method}", "dataset=imagefolder", "dataset.root=python", "scheme=indices", "network=own"]
    overrides += [f"network._target_={target.replace('<locals>.', '')}", "wandb.mode=disabled", "reference=off", *settings]
    overrides.append(f"scheme.file=forget-{key(*sorted(positions)) % 16**8:08x}")  # tells lists apart, as files are
    check(overrides)
    config, _ = configuration(overrides)
    with open_dict(config):
        config.network.name = network
        if not any(setting.startswith("store.root=") for setting in settings):
            config.store.root = str(folder / "store")
    return config


def _check_settings(settings: Sequence[str]) -> None:
    """Refuse settings that would be recorded and not applied."""
    for setting in settings:
        name = setting.partition("=")[0]
        instead = USE_INSTEAD.get(name.partition(".")[0], "only the command `python train.py` takes it")
        require(name.startswith(APPLIED), f"settings cannot take {setting} from Python: {instead}")
